-- expand
-- The worker owns no table: what is owed lives in events.jobs. Dead jobs are listed and counted by this index.
create index jobs_dead_at_idx on events.jobs (dead_at) where dead_at is not null;
