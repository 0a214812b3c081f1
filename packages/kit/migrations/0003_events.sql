-- expand
create schema events;
grant usage on schema events to
  gatehouse_auth, gatehouse_org, gatehouse_audit, gatehouse_worker, gatehouse_gateway;

-- What happened, on its way into the log: written in the transaction of the change, removed when it is sealed.
create table events.outbox (
  position bigint generated always as identity,
  id uuid not null,
  type text not null,
  kind text not null,
  org_id uuid,
  actor jsonb not null,
  target_type text,
  target_id text,
  outcome text not null,
  address text,
  agent text,
  request_id text,
  trace_id text,
  data jsonb not null,
  occurred_at timestamptz(3) not null default clock_timestamp(),
  constraint outbox_pkey primary key (position),
  constraint outbox_id_key unique (id),
  constraint outbox_kind_check check (kind in ('security', 'admin_action', 'access', 'change')),
  constraint outbox_outcome_check check (outcome in ('success', 'failure', 'denied'))
);

-- Not the position and not the time: nobody writes into the past.
grant insert (id, type, kind, org_id, actor, target_type, target_id, outcome, address, agent, request_id, trace_id, data)
  on events.outbox to gatehouse_auth, gatehouse_org, gatehouse_audit, gatehouse_worker, gatehouse_gateway;
grant select, delete on events.outbox to gatehouse_audit;

-- Work owed: written in the transaction that causes it, kept until it is done or dead.
create table events.jobs (
  id uuid not null,
  name text not null,
  queue text not null,
  payload jsonb not null,
  secret bytea,
  run_after timestamptz(3) not null default clock_timestamp(),
  created_at timestamptz(3) not null default clock_timestamp(),
  dispatched_at timestamptz(3),
  finished_at timestamptz(3),
  dead_at timestamptz(3),
  attempts integer not null default 0,
  last_error text,
  fence integer not null default 0,
  constraint jobs_pkey primary key (id)
);
create index jobs_due_idx on events.jobs (run_after)
  where dispatched_at is null and finished_at is null and dead_at is null;
create index jobs_open_idx on events.jobs (dispatched_at) where finished_at is null and dead_at is null;
create index jobs_finished_at_idx on events.jobs (finished_at) where finished_at is not null;

grant insert (id, name, queue, payload, secret, run_after)
  on events.jobs to gatehouse_auth, gatehouse_org, gatehouse_worker;
grant select, update, delete on events.jobs to gatehouse_worker;
