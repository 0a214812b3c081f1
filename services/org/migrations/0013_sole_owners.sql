-- expand
-- As before, but an owner whose account is closing or disabled leads nothing, and of two owners who go at one instant the
-- second waits and finds out that it is the last one.
create or replace function org.sole_owner_of(p_user_id uuid) returns setof uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
begin
  perform from org.organizations o
  where o.id in (select m.org_id from org.members m where m.user_id = p_user_id and m.role = 'owner')
  order by o.id for no key update;
  return query
    select m.org_id
    from org.members m
    join org.organizations o on o.id = m.org_id and o.status <> 'deleted'
    where m.user_id = p_user_id and m.role = 'owner'
      and not exists (
        select 1 from org.members x
        where x.org_id = m.org_id and x.user_id <> p_user_id and x.role = 'owner'
          and auth.platform_role_of(x.user_id) is not null)
      and exists (select 1 from org.members x where x.org_id = m.org_id and x.user_id <> p_user_id)
    order by m.org_id;
end
$$;
