-- expand
-- The names of a user's organizations, and of one that the user is to join: what a new password must not be made of.
create function org.find_names(p_user_id uuid, p_org_id uuid) returns setof text
language sql stable security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
  select o.name from org.organizations o
  where o.id = p_org_id or o.id in (select m.org_id from org.members m where m.user_id = p_user_id)
  limit 100
$$;
revoke all on function org.find_names from public;
grant execute on function org.find_names to gatehouse_auth;
