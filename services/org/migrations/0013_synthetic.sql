-- expand
-- The tenant that deploys are checked with; auth makes its people, and keeps it by this: founds it, or brings it back to
-- what it should be, and takes out what was left in it before a moment. Tells whether it was founded. It makes an owner of
-- whomever it is told to, so it opens for that one organization alone: through it, whoever has got hold of auth could own
-- any other, and throw its members out.
create function org.keep_synthetic(
  p_org_id uuid, p_name text, p_owner_id uuid, p_viewer_id uuid, p_before timestamptz
) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
declare
  v_slug text := 'synthetic-deploy-checks';
  v_founded integer;
begin
  if p_org_id <> 'd0c5e1f0-0000-8000-8000-5f0000000001' then
    raise exception '% is not the synthetic tenant', p_org_id using errcode = 'insufficient_privilege';
  end if;
  -- Somebody may have founded one of that name first; nobody founds one that is named after this id.
  if exists (select 1 from org.organizations o where o.slug = v_slug and o.id <> p_org_id) then
    v_slug := 'synthetic-' || replace(p_org_id::text, '-', '');
  end if;
  insert into org.organizations (id, name, slug, created_by) values (p_org_id, p_name, v_slug, p_owner_id)
  on conflict (id) do nothing;
  get diagnostics v_founded = row_count;
  update org.organizations o
  set name = p_name, status = 'active', deleted_at = null, require_second_factor = false, allowed_domains = '{}',
    session_max_seconds = null
  where o.id = p_org_id;
  insert into org.members as m (org_id, user_id, role, added_by)
  values (p_org_id, p_owner_id, 'owner', p_owner_id), (p_org_id, p_viewer_id, 'viewer', p_owner_id)
  on conflict (org_id, user_id) do update set role = excluded.role where m.role <> excluded.role;
  delete from org.members m
  where m.org_id = p_org_id and m.user_id not in (p_owner_id, p_viewer_id) and m.joined_at < p_before;
  delete from org.invitations i where i.org_id = p_org_id and i.created_at < p_before;
  return v_founded = 1;
end
$$;

-- Whether a user is a member of any other organization than the one named.
create function org.belongs_elsewhere(p_user_id uuid, p_org_id uuid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
  select exists (select 1 from org.members m where m.user_id = p_user_id and m.org_id <> p_org_id)
$$;

revoke all on function org.keep_synthetic, org.belongs_elsewhere from public;
grant execute on function org.keep_synthetic to gatehouse_auth;
