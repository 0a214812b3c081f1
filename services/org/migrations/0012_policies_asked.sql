-- expand
-- What an organization asks of whoever acts for it, for auth: who registers a user into an organization names it in the
-- body, which the gateway does not read.
create function org.policies_of(p_org_id uuid)
returns table (second_factor_required boolean, session_max_seconds integer)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
  select o.require_second_factor, o.session_max_seconds
  from org.organizations o
  where o.id = p_org_id and o.status <> 'deleted'
$$;
revoke all on function org.policies_of(uuid) from public;
grant execute on function org.policies_of(uuid) to gatehouse_auth;
