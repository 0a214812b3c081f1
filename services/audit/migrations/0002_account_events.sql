-- expand
-- Whom a security event is about, so that people find their own sign-ins. A table beside the log and no column of it:
-- the log is append-only, so what is sealed already could not be filled in. And no index over `data`: row level security
-- keeps the planner from using one, since reading jsonb is not leakproof.
create table audit.account_events (
  user_id uuid not null,
  occurred_at timestamptz(3) not null,
  seq bigint not null,
  type text not null,
  constraint account_events_pkey primary key (user_id, occurred_at, seq) include (type)
);

-- A statement's records at once. Refused refresh tokens are left out: whoever holds an old one could bury the rest.
create function audit.note_account_events() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into audit.account_events (user_id, occurred_at, seq, type)
  select (s.data->>'user_id')::uuid, s.occurred_at, s.seq, s.type
  from sealed s
  where s.kind = 'security' and s.type <> 'auth.refresh_refused.v1'
    and s.data->>'user_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
  on conflict do nothing;
  return null;
end $$;
revoke execute on function audit.note_account_events() from public;

-- A trigger, so that a sealer of the release before fills it too.
create trigger log_account_events after insert on audit.log
  referencing new table as sealed for each statement execute function audit.note_account_events();

set local gatehouse.platform = 'on';
insert into audit.account_events (user_id, occurred_at, seq, type)
select (l.data->>'user_id')::uuid, l.occurred_at, l.seq, l.type
from audit.log l
where l.kind = 'security' and l.type <> 'auth.refresh_refused.v1'
  and l.data->>'user_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
on conflict do nothing;

create trigger account_events_append_only before update or delete on audit.account_events
  for each row execute function audit.refuse_change();
create trigger account_events_never_truncated before truncate on audit.account_events
  for each statement execute function audit.refuse_change();

grant select on audit.account_events to gatehouse_audit;
