-- expand
-- One row, ever: whoever inserts it bootstraps. Nobody may delete it, so that the door never opens again.
create table auth.bootstrap (
  id integer constraint bootstrap_pkey primary key constraint bootstrap_happens_once check (id = 1),
  user_id uuid not null,
  org_id uuid not null,
  completed_at timestamptz(3) not null
);

create function auth.refuse_bootstrap_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'the bootstrap marker is permanent' using errcode = 'insufficient_privilege';
end
$$;

create trigger bootstrap_is_permanent before update or delete on auth.bootstrap
  for each row execute function auth.refuse_bootstrap_change();
create trigger bootstrap_is_not_truncated before truncate on auth.bootstrap
  for each statement execute function auth.refuse_bootstrap_change();

revoke all on auth.bootstrap from public;
grant select, insert on auth.bootstrap to gatehouse_auth;
