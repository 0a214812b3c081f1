-- expand
-- Revokes the key that somebody found in public, whatever organization it is of, and tells who runs that. No row for a
-- hash that is unknown or whose key is dead already. Only the key's row is locked, so that no report waits for another
-- and none can cross with a write in the organization.
create function org.revoke_leaked_key(p_hash bytea, p_now timestamptz)
returns table (key_id uuid, org_id uuid, org_name text, name text, prefix text, admins uuid[])
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
  update org.api_keys as k set revoked_at = p_now
  from org.organizations o
  where k.hash = p_hash and o.id = k.org_id and o.status <> 'deleted'
    and k.revoked_at is null and least(k.expires_at, k.overlap_until) > p_now
  returning k.id, k.org_id, o.name, k.name, k.prefix, array(
    select m.user_id from org.members m
    where m.org_id = k.org_id and m.role in ('owner', 'admin')
    order by m.role desc, m.user_id
    limit 100
  )
$$;

revoke all on function org.revoke_leaked_key from public;
grant execute on function org.revoke_leaked_key to gatehouse_org;
