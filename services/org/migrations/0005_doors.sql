-- expand
-- Doors for other services. They run in the caller's transaction and change nothing of its settings.
create function org.found_organization(p_org_id uuid, p_name text, p_slug text, p_owner_id uuid) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
begin
  insert into org.organizations (id, name, slug, created_by) values (p_org_id, p_name, p_slug, p_owner_id);
  insert into org.members (org_id, user_id, role, added_by) values (p_org_id, p_owner_id, 'owner', p_owner_id);
end
$$;

-- May the actor admit a user to the organization: 'ok', 'denied', or 'not_found' where it may not even know of it.
create function org.may_admit(p_actor_id uuid, p_platform_admin boolean, p_org_id uuid) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
declare
  org_status text;
  actor_role text;
begin
  select o.status into org_status from org.organizations o where o.id = p_org_id;
  if org_status is null or org_status = 'deleted' then
    return 'not_found';
  end if;
  select m.role into actor_role from org.members m where m.org_id = p_org_id and m.user_id = p_actor_id;
  if actor_role is null and not coalesce(p_platform_admin, false) then
    return 'not_found';
  end if;
  if org_status <> 'active' then
    return 'denied';
  end if;
  if coalesce(p_platform_admin, false) or actor_role in ('owner', 'admin') then
    return 'ok';
  end if;
  return 'denied';
end
$$;

-- Admits a user. The share lock makes it wait for whoever changes roles or the organization's state, so that the
-- answer of may_admit still holds when the membership is written. Nobody gives a role above the own one.
create function org.admit_user(
  p_actor_id uuid, p_platform_admin boolean, p_org_id uuid, p_user_id uuid, p_role text
) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
declare
  answer text;
begin
  perform 1 from org.organizations o where o.id = p_org_id for share;
  answer := org.may_admit(p_actor_id, p_platform_admin, p_org_id);
  if answer = 'not_found' then
    raise exception 'no such organization' using errcode = 'GH404';
  end if;
  if answer <> 'ok' or (p_role = 'owner' and not coalesce(p_platform_admin, false) and not exists (
    select 1 from org.members m where m.org_id = p_org_id and m.user_id = p_actor_id and m.role = 'owner'
  )) then
    raise exception 'not allowed to admit users to this organization' using errcode = 'GH403';
  end if;
  insert into org.members (org_id, user_id, role, added_by) values (p_org_id, p_user_id, p_role, p_actor_id);
end
$$;

-- Removes what nobody asks for any more: keys that have been dead for ninety days.
create function org.cleanup(p_now timestamptz) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
declare
  removed integer;
begin
  delete from org.api_keys k
  where least(k.revoked_at, k.overlap_until, k.expires_at) < p_now - interval '90 days';
  get diagnostics removed = row_count;
  return removed;
end
$$;

revoke all on function org.found_organization, org.may_admit, org.admit_user, org.cleanup from public;
grant usage on schema org to gatehouse_auth, gatehouse_worker;
grant execute on function org.found_organization, org.may_admit, org.admit_user to gatehouse_auth;
grant execute on function org.cleanup to gatehouse_worker;
