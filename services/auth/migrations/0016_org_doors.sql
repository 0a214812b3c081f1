-- expand
-- What org asks of accounts. Only what it takes to decide about memberships and invitations.

-- The address of a user who has proved to have it; null for everybody else.
create function auth.find_verified_email(p_user_id uuid) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select u.email from auth.users u
  where u.id = p_user_id and u.status = 'active' and u.role <> 'guest' and u.email_verified_at is not null
$$;

-- The account of an address, if there is one that is not deleted.
create function auth.find_account(p_email text) returns table (id uuid, role text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select u.id, u.role from auth.users u where u.email = p_email and u.status <> 'deleted'
$$;

-- The platform role of a user whose account is in use. For the doors of org, which run as the owner of the schemas.
create function auth.platform_role_of(p_user_id uuid) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select u.role from auth.users u where u.id = p_user_id and u.status = 'active'
$$;

-- The address of an account, verified or not. For the doors of org.
create function auth.email_of(p_user_id uuid) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select u.email from auth.users u where u.id = p_user_id and u.status <> 'deleted'
$$;

-- Whether the account is in use and has this address, and holds it so until the transaction ends: what disables, deletes
-- or renames the account comes before, and is seen, or after. For the doors of org.
create function auth.hold_account(p_user_id uuid, p_email text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select exists (
    select 1 from (
      select u.status, u.email from auth.users u where u.id = p_user_id for share
    ) held where held.status = 'active' and held.email = p_email)
$$;

revoke all on function auth.find_verified_email, auth.find_account, auth.platform_role_of, auth.email_of,
  auth.hold_account from public;
grant execute on function auth.find_verified_email, auth.find_account to gatehouse_org;
