-- expand
-- As before, and of the admins one whose account is in use inherits before one who was shut out.
create or replace function org.forget_user(p_user_id uuid, p_now timestamptz default clock_timestamp()) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
declare
  v_org record;
  v_role text;
  v_heir uuid;
begin
  -- In the order of their ids, so that two of these cannot wait for each other.
  for v_org in
    select o.id, o.name, o.slug, o.status from org.organizations o
    where o.id in (select m.org_id from org.members m where m.user_id = p_user_id)
    order by o.id for no key update
  loop
    delete from org.members m where m.org_id = v_org.id and m.user_id = p_user_id returning m.role into v_role;
    continue when v_role is null;
    perform org.tell('org.member_left.v1', v_org.id, 'user', p_user_id,
      jsonb_build_object('user_id', p_user_id, 'role', v_role));
    continue when v_org.status = 'deleted'
      or exists (select 1 from org.members m where m.org_id = v_org.id and m.role = 'owner');
    select m.user_id into v_heir from org.members m
    where m.org_id = v_org.id and m.role = 'admin'
    order by auth.platform_role_of(m.user_id) is null, m.joined_at, m.user_id limit 1;
    if v_heir is not null then
      update org.members m set role = 'owner' where m.org_id = v_org.id and m.user_id = v_heir;
      perform org.tell('org.member_role_changed.v1', v_org.id, 'user', v_heir, jsonb_build_object(
        'user_id', v_heir, 'old', jsonb_build_object('role', 'admin'), 'new', jsonb_build_object('role', 'owner')));
    else
      update org.organizations o set status = 'deleted', deleted_at = p_now, updated_at = p_now where o.id = v_org.id;
      perform org.tell('org.organization_deleted.v1', v_org.id, 'organization', v_org.id,
        jsonb_build_object('name', v_org.name, 'slug', v_org.slug));
    end if;
  end loop;
  update org.invitations i set status = 'cancelled', ended_at = p_now, token_hash = null
  where i.email = auth.email_of(p_user_id) and i.status = 'open';
end
$$;
