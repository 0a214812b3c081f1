-- expand
-- The record of what happened: hash-chained, append-only by privilege and by trigger.
create schema audit;
grant usage on schema audit to gatehouse_audit;

create table audit.log (
  seq bigint not null,
  id uuid not null,
  type text not null,
  kind text not null,
  org_id uuid,
  actor_kind text not null,
  actor_id text,
  actor jsonb not null,
  target_type text,
  target_id text,
  outcome text not null,
  address text,
  agent text,
  request_id text,
  trace_id text,
  data jsonb not null,
  occurred_at timestamptz(3) not null,
  sealed_at timestamptz(3) not null,
  hash bytea not null,
  constraint log_pkey primary key (seq),
  constraint log_id_key unique (id)
);

-- Every index is paid for by each sealed record. These are the fewest that keep a page of any filter flat: organization
-- and time; action or actor, within an organization or alone; the whole platform by time; the rare admin actions.
create index log_org_time on audit.log (org_id, occurred_at desc, seq desc);
create index log_type_org_time on audit.log (type, org_id, occurred_at desc, seq desc);
create index log_actor_org_time on audit.log (actor_id, org_id, occurred_at desc, seq desc);
create index log_time on audit.log (occurred_at desc, seq desc);
create index log_admin_time on audit.log (occurred_at desc, seq desc) where kind = 'admin_action';

-- The last record of the chain. Locking this row makes one sealer wait for the other.
create table audit.head (
  only_row boolean not null default true,
  seq bigint not null,
  hash bytea not null,
  constraint head_pkey primary key (only_row),
  constraint head_only_row check (only_row)
);
-- The chain starts from 32 zero bytes.
insert into audit.head (seq, hash) values (0, decode(repeat('00', 32), 'hex'));

create function audit.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'audit.% is append-only: % refused', tg_table_name, lower(tg_op) using errcode = '42501';
end $$;

create trigger log_append_only before update or delete on audit.log
  for each row execute function audit.refuse_change();
create trigger log_never_truncated before truncate on audit.log
  for each statement execute function audit.refuse_change();
create trigger head_kept before delete on audit.head
  for each row execute function audit.refuse_change();
create trigger head_never_truncated before truncate on audit.head
  for each statement execute function audit.refuse_change();

alter table audit.log enable row level security;
alter table audit.log force row level security;
create policy log_readable on audit.log for select using (org_id = app.current_org_id() or app.is_platform());
create policy log_appendable on audit.log for insert with check (app.is_platform());

grant select, insert on audit.log to gatehouse_audit;
grant select on audit.head to gatehouse_audit;
grant update (seq, hash) on audit.head to gatehouse_audit;
