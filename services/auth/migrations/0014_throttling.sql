-- expand
-- Tries at passwords by lane: whose account, network or device a bucket is, it does not tell (an HMAC).
-- used: tries of the window, which end in a delay (next_at) and in a lock (locked_until). failures: tries judged since
-- somebody proved to be the owner; they never run out by time. lasting: the lane of an account that exists.
create table auth.login_lanes (
  bucket bytea constraint login_lanes_pkey primary key,
  used integer not null constraint login_lanes_used_counts check (used >= 0),
  window_ends_at timestamptz(3) not null,
  next_at timestamptz(3),
  locked_until timestamptz(3),
  failures integer not null constraint login_lanes_failures_counts check (failures >= 0),
  -- Whether the last try that was let in may be judged.
  judged boolean not null,
  lasting boolean not null
);
create index login_lanes_by_window on auth.login_lanes (window_ends_at);

grant select, insert, update, delete on auth.login_lanes to gatehouse_auth;

-- Accounts that are locked for strangers, for administrators and for the mail: what is judged follows the lanes.
-- locked_until null: until somebody proves to be the owner.
create table auth.lockouts (
  user_id uuid constraint lockouts_pkey primary key constraint lockouts_user_fkey references auth.users (id),
  locked_at timestamptz(3) not null,
  locked_until timestamptz(3)
);
create index lockouts_by_time on auth.lockouts (locked_at desc, user_id desc);

grant select, insert, update, delete on auth.lockouts to gatehouse_auth;

-- Lanes of accounts that exist keep count of failures in a row for as long as there are any.
create function auth.cleanup_throttling(p_now timestamptz) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_total integer := 0;
  v_count integer;
begin
  delete from auth.login_lanes l where l.ctid in (
    select l.ctid from auth.login_lanes l
    where l.window_ends_at < p_now and coalesce(l.next_at, p_now) <= p_now and coalesce(l.locked_until, p_now) <= p_now
      and not (l.lasting and l.failures > 0)
    limit 5000);
  get diagnostics v_count = row_count;
  v_total := v_total + v_count;
  delete from auth.lockouts o where o.ctid in (
    select o.ctid from auth.lockouts o where o.locked_until < p_now limit 5000);
  get diagnostics v_count = row_count;
  return v_total + v_count;
end
$$;

revoke all on function auth.cleanup_throttling(timestamptz) from public;
grant execute on function auth.cleanup_throttling(timestamptz) to gatehouse_worker;
