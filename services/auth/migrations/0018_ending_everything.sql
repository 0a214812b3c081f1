-- expand
-- After a restore: what was ended, revoked or used since the backup looks as good as new in it. So no session, code, link,
-- challenge or trusted device of before goes on; passwords and second factors stay. Tells how many sessions that were.
-- For the owner of the schemas alone: no service may call it.
create function auth.end_everything(p_now timestamptz, p_reason text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_sessions integer;
begin
  update auth.sessions s set ended_at = p_now, end_reason = p_reason where s.ended_at is null;
  get diagnostics v_sessions = row_count;
  update auth.devices d set trusted_until = null where d.trusted_until is not null;
  delete from auth.email_verifications;
  delete from auth.action_tokens;
  delete from auth.challenges;
  delete from auth.email_changes;
  -- The row goes on counting tries: a restore gives nobody new guesses.
  update auth.one_time_codes c set expires_at = p_now where c.expires_at > p_now;
  return v_sessions;
end
$$;

revoke all on function auth.end_everything(timestamptz, text) from public;
