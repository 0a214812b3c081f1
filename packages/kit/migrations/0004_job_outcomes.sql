-- expand
-- A job belongs to one attempt at a time, also when Redis hands it to two workers.
alter table events.jobs add column leased_until timestamptz(3);
-- How much speaks for an effect that nobody knows of: 2 for each attempt whose connection broke, or whose worker died, in
-- between; 1 for each that ran out of time.
alter table events.jobs add column doubts integer not null default 0;
alter table events.jobs add column outcome text;
alter table events.jobs add constraint jobs_outcome_check
  check (outcome in ('success', 'expired', 'failure', 'unknown')) not valid;
alter table events.jobs validate constraint jobs_outcome_check;
create index jobs_leased_until_idx on events.jobs (leased_until) where finished_at is null and dead_at is null;
