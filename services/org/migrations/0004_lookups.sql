-- expand
-- Questions that cross organizations. Each is one indexed statement and one round trip, flat in the number of
-- organizations and members; the setting lifts row-level security inside the function and nowhere else.
create function org.find_guard(p_org_id uuid, p_user_id uuid)
returns table (status text, plan text, role text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
  select o.status, o.plan, m.role
  from org.organizations o
  left join org.members m on m.org_id = o.id and m.user_id = p_user_id
  where o.id = p_org_id
$$;

create function org.find_api_key(p_hash bytea)
returns table (
  key_id uuid, org_id uuid, org_status text, scopes text[], rules jsonb, addresses text[],
  expires_at timestamptz, revoked_at timestamptz, overlap_until timestamptz, last_used_at timestamptz
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
  select k.id, k.org_id, o.status, k.scopes, k.rules, k.addresses,
    k.expires_at, k.revoked_at, k.overlap_until, k.last_used_at
  from org.api_keys k
  join org.organizations o on o.id = k.org_id
  where k.hash = p_hash
$$;

create function org.list_organizations_of(p_user_id uuid, p_after uuid, p_limit integer)
returns table (id uuid, name text, slug text, status text, plan text, role text, created_at timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
  select o.id, o.name, o.slug, o.status, o.plan, m.role, o.created_at
  from org.members m
  join org.organizations o on o.id = m.org_id
  where m.user_id = p_user_id and o.status <> 'deleted' and (p_after is null or m.org_id > p_after)
  order by m.org_id
  limit p_limit
$$;

-- Locks the founder first: of two organizations founded at once, the second counts the first. A deleted one counts
-- for thirty days more, so that founding and deleting in turn is bounded too.
create function org.count_founded(p_user_id uuid, p_now timestamptz) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('org.founder:' || p_user_id::text, 0));
  return (
    select count(*)::integer from org.organizations o
    where o.created_by = p_user_id and (o.deleted_at is null or o.deleted_at > p_now - interval '30 days')
  );
end
$$;

revoke all on function org.find_guard, org.find_api_key, org.list_organizations_of, org.count_founded from public;
grant execute on function org.find_guard, org.find_api_key, org.list_organizations_of, org.count_founded
  to gatehouse_org;
