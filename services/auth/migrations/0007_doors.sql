-- expand
-- Names and addresses of members, for org's lists. Deleted accounts are not told.
create function auth.find_users(p_ids uuid[]) returns table (id uuid, email text, name text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select u.id, u.email, u.name from auth.users u where u.id = any (p_ids) and u.status <> 'deleted'
$$;

-- Deletes what has had its time, of each table a batch, and tells how many rows that were: as many as a batch or more
-- mean that there may be others. Ended sessions stay 90 days for the record.
create function auth.cleanup(p_now timestamptz) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_total integer := 0;
  v_count integer;
begin
  delete from auth.sessions s where s.ctid in (
    select s.ctid from auth.sessions s where s.expires_at < p_now - interval '90 days' limit 5000);
  get diagnostics v_count = row_count;
  v_total := v_total + v_count;
  delete from auth.guess_budgets b where b.ctid in (
    select b.ctid from auth.guess_budgets b where b.resets_at < p_now limit 5000);
  get diagnostics v_count = row_count;
  v_total := v_total + v_count;
  delete from auth.email_verifications e where e.ctid in (
    select e.ctid from auth.email_verifications e where e.expires_at < p_now limit 5000);
  get diagnostics v_count = row_count;
  v_total := v_total + v_count;
  delete from auth.signing_keys k where k.status = 'retired' and k.retired_at < p_now - interval '90 days';
  get diagnostics v_count = row_count;
  return v_total + v_count;
end
$$;

revoke all on function auth.find_users(uuid[]), auth.cleanup(timestamptz), auth.refuse_bootstrap_change() from public;
grant usage on schema auth to gatehouse_org, gatehouse_worker;
grant execute on function auth.find_users(uuid[]) to gatehouse_org;
grant execute on function auth.cleanup(timestamptz) to gatehouse_worker;
