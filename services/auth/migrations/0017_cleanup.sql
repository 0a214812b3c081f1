-- expand
-- The nightly clean-up calls that of each part, each of which removes a batch, and tells how many rows went. Ended sessions stay 90 days for the record.
create or replace function auth.cleanup(p_now timestamptz) returns integer
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
  return v_total + v_count + auth.cleanup_second_factors(p_now) + auth.cleanup_devices(p_now)
    + auth.cleanup_accounts(p_now) + auth.cleanup_throttling(p_now);
end
$$;
