-- expand
-- A job belongs to one attempt at a time, also when Redis hands it to two workers.
alter table events.jobs add column leased_until timestamptz(3);
-- Attempts of which nobody knows whether they had their effect: the connection broke, or the worker died, in between.
alter table events.jobs add column doubts integer not null default 0;
alter table events.jobs add column outcome text;
alter table events.jobs add constraint jobs_outcome_check
  check (outcome in ('success', 'expired', 'failure', 'unknown')) not valid;
alter table events.jobs validate constraint jobs_outcome_check;
create index jobs_leased_until_idx on events.jobs (leased_until) where finished_at is null and dead_at is null;
