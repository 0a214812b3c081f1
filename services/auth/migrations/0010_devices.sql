-- expand
-- The browsers and apps that a user has signed in from. token_hash is of the secret in the device's own cookie, which
-- also binds its trust: a device that lost the cookie is a new one.
create table auth.devices (
  id uuid constraint devices_pkey primary key,
  user_id uuid not null constraint devices_user_fkey references auth.users (id),
  token_hash bytea not null constraint devices_token_key unique,
  name text not null constraint devices_name_length check (length(name) <= 100),
  address text not null,
  -- /24 or /64 of the address: where a device without its cookie is taken for one that was there before.
  network text not null,
  first_used_at timestamptz(3) not null,
  last_used_at timestamptz(3) not null,
  -- Until then it stands for the second factor.
  trusted_until timestamptz(3),
  revoked_at timestamptz(3)
);
create index devices_live_by_user on auth.devices (user_id, last_used_at) where revoked_at is null;
create index devices_by_use on auth.devices (last_used_at);
create index sessions_live_by_device on auth.sessions (device_id) where ended_at is null and device_id is not null;

grant select, insert, delete on auth.devices to gatehouse_auth;
grant update (name, address, network, last_used_at, trusted_until, revoked_at) on auth.devices to gatehouse_auth;
-- A session's key is sealed anew when the secret that it was sealed with is being replaced.
grant update (key_sealed) on auth.sessions to gatehouse_auth;

-- Devices that were not used for longer than their cookie lives.
create function auth.cleanup_devices(p_now timestamptz) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_count integer;
begin
  delete from auth.devices d where d.ctid in (
    select d.ctid from auth.devices d
    where d.last_used_at < p_now - interval '400 days'
      or (d.revoked_at is not null and d.last_used_at < p_now - interval '90 days')
    limit 5000);
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
revoke all on function auth.cleanup_devices(timestamptz) from public;
