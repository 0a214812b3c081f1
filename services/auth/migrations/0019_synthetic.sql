-- expand
-- Deletes the accounts that checks of deploys have left, and tells how many: they were nobody's, so that no row stays for
-- the record. Whoever has such an address in an organization of their own keeps it.
create function auth.forget_synthetic(p_org_id uuid, p_keep uuid[], p_before timestamptz) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_user record;
  v_total integer := 0;
begin
  for v_user in
    select u.id from auth.users u
    where (u.email like 'synthetic-%@synthetic.invalid' or u.registered_email like 'synthetic-%@synthetic.invalid')
      and u.id <> all (p_keep) and u.role <> 'admin' and u.created_at < p_before
    order by u.id limit 1000 for update skip locked
  loop
    continue when org.belongs_elsewhere(v_user.id, p_org_id);
    perform org.forget_user(v_user.id);
    perform auth.delete_belongings(v_user.id);
    delete from auth.users u where u.id = v_user.id;
    v_total := v_total + 1;
  end loop;
  return v_total;
end
$$;
revoke all on function auth.forget_synthetic(uuid, uuid[], timestamptz) from public;
grant execute on function auth.forget_synthetic(uuid, uuid[], timestamptz) to gatehouse_auth;
