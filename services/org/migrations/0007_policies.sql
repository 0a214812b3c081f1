-- expand
-- What an organization asks of its members, and what its plan gives it.
alter table org.organizations
  add column require_second_factor boolean not null default false,
  -- In their ASCII form and lower case; none stands for any.
  add column allowed_domains text[] not null default '{}',
  add column session_max_seconds integer,
  -- Days that ended invitations and dead API keys are kept; null for as many as without the policy.
  add column retention_days integer,
  add constraint organizations_allowed_domains_count check (cardinality(allowed_domains) <= 50),
  add constraint organizations_session_max_range check (session_max_seconds between 900 and 2592000),
  add constraint organizations_retention_range check (retention_days between 30 and 3650);

-- The numbers of packages/contracts/src/plans.ts, for what SQL decides; a test holds the two to each other.
create table org.plan_limits (
  plan text not null,
  members integer not null,
  invitations integer not null,
  api_keys integer not null,
  constraint plan_limits_pkey primary key (plan)
);
insert into org.plan_limits (plan, members, invitations, api_keys) values
  ('free', 10, 10, 10), ('pro', 100, 100, 50), ('enterprise', 10000, 1000, 500);

-- The guard tells the gateway the policies that it holds requests to.
drop function org.find_guard(uuid, uuid);
create function org.find_guard(p_org_id uuid, p_user_id uuid)
returns table (status text, plan text, role text, second_factor_required boolean, session_max_seconds integer)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
  select o.status, o.plan, m.role, o.require_second_factor, o.session_max_seconds
  from org.organizations o
  left join org.members m on m.org_id = o.id and m.user_id = p_user_id
  where o.id = p_org_id
$$;
revoke all on function org.find_guard(uuid, uuid) from public;
grant execute on function org.find_guard(uuid, uuid) to gatehouse_org;

-- What the organizations of a user ask of a sign-in: always one row, of the strictest.
create function org.requirements_of(p_user_id uuid)
returns table (second_factor_required boolean, session_max_seconds integer)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
  select coalesce(bool_or(o.require_second_factor), false), min(o.session_max_seconds)
  from org.members m
  join org.organizations o on o.id = m.org_id
  where m.user_id = p_user_id and o.status <> 'deleted'
$$;
revoke all on function org.requirements_of(uuid) from public;
grant execute on function org.requirements_of(uuid) to gatehouse_auth;
