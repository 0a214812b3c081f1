-- expand
-- Removes everything that belongs to a user: the rows of whatever table refers to the account, so that a table which is
-- added later is not forgotten.
create function auth.delete_belongings(p_user_id uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_reference record;
begin
  for v_reference in
    select c.conrelid::regclass as referring, a.attname as field
    from pg_constraint c
    join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
    where c.contype = 'f' and c.confrelid = 'auth.users'::regclass and cardinality(c.conkey) = 1
    order by c.conrelid::regclass::text
  loop
    execute format('delete from %s where %I = $1', v_reference.referring, v_reference.field) using p_user_id;
  end loop;
end
$$;

-- Deletes an account for good: its row stays for the record, with nothing in it that tells whose it was, and its address
-- is free. Nothing of it is left that could come alive when somebody registers the address again.
create function auth.forget_account(p_user_id uuid, p_now timestamptz) returns void
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

-- Accounts whose time for second thoughts is over, and registrations that nobody confirmed. One that cannot be deleted
-- now does not keep the others; the next run tries again.
create function auth.cleanup_accounts(p_now timestamptz) returns integer
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

revoke all on function auth.delete_belongings(uuid), auth.forget_account(uuid, timestamptz),
  auth.cleanup_accounts(timestamptz) from public;
grant execute on function auth.cleanup_accounts(timestamptz) to gatehouse_worker;
