-- expand
-- Who registers openly visits as a guest until somebody proves the address, whether or not it has an account: a row of
-- its own beside that account or claim, which never becomes one. email is a placeholder that nobody can type;
-- registered_email is what was registered, and what the guest is shown. password_tag: 16 bits of a keyed hash of the
-- password, by which a sign-in knows which guest's hash to verify. confirm_by: when the visit ends.
alter table auth.users
  add column registered_email text,
  add column password_tag integer,
  add constraint users_visitor_is_guest check (
    registered_email is null or (role = 'guest' and confirm_by is not null and email_verified_at is null));
-- Serves the guests of an address as well as addresses by their beginning.
create index users_by_registered_email on auth.users (registered_email text_pattern_ops)
  where registered_email is not null;
grant update (password_tag) on auth.users to gatehouse_auth;

-- What is deleted with a visit, ended sessions too, is found without reading everybody's.
create index sessions_by_user on auth.sessions (user_id);
create index devices_by_user on auth.devices (user_id);

-- As before, and nothing of a visit is left.
create or replace function auth.forget_account(p_user_id uuid, p_now timestamptz) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform org.forget_user(p_user_id, p_now);
  perform auth.delete_belongings(p_user_id);
  update auth.users u
  set status = 'deleted', email = 'deleted-' || u.id || '@invalid', name = 'Deleted', role = 'user',
    password_hash = null, email_verified_at = null, confirm_by = null, password_reset_required = false,
    disabled_at = null, disabled_reason = null, deletion_due_at = null, updated_at = p_now,
    registered_email = null, password_tag = null
  where u.id = p_user_id;
  insert into events.outbox (id, type, kind, org_id, actor, target_type, target_id, outcome,
                             address, agent, request_id, trace_id, data)
  values (gen_random_uuid(), 'auth.account_deleted.v1', 'security', null, '{"kind": "service"}', 'user', p_user_id::text,
          'success', '', 'auth', '', '', jsonb_build_object('user_id', p_user_id));
end
$$;

-- As before; visits go when their time is over, whatever has become of them.
create or replace function auth.cleanup_accounts(p_now timestamptz) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_user record;
  v_total integer := 0;
begin
  for v_user in
    select u.id from auth.users u
    where u.deletion_due_at <= p_now and u.status = 'disabled'
    order by u.deletion_due_at limit 100 for update skip locked
  loop
    begin
      perform auth.forget_account(v_user.id, p_now);
      v_total := v_total + 1;
    exception when others then
      raise warning 'account % could not be deleted: %', v_user.id, sqlerrm;
    end;
  end loop;
  for v_user in
    select u.id from auth.users u
    where u.confirm_by <= p_now and u.role = 'guest' and (u.status = 'active' or u.registered_email is not null)
    order by u.confirm_by limit 1000 for update skip locked
  loop
    perform auth.delete_belongings(v_user.id);
    delete from auth.users u where u.id = v_user.id;
    v_total := v_total + 1;
  end loop;
  delete from auth.email_changes c where c.ctid in (
    select c.ctid from auth.email_changes c where c.expires_at < p_now limit 5000);
  delete from auth.action_tokens t where t.ctid in (
    select t.ctid from auth.action_tokens t where t.expires_at < p_now limit 5000);
  return v_total;
end
$$;
