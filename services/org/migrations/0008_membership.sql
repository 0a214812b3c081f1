-- expand
-- Who comes into an organization and who goes out of it. Everything here that changes a membership holds the lock of
-- the organization's row first, as every write of the service does: see src/organizations/writing.ts.

-- The ranks of src/members/rules.ts; a test holds the two to each other.
create function org.rank_of(p_role text) returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select case p_role when 'owner' then 4 when 'admin' then 3 when 'analyst' then 2 when 'billing' then 2 else 1 end
$$;

-- Refuses a member that the organization has no place for (GH409) or whose mail domain it does not admit (GH422).
-- The caller holds the organization's lock.
create function org.assert_place(p_org_id uuid, p_email text) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
declare
  v_domains text[];
  v_places integer;
begin
  select o.allowed_domains, l.members into v_domains, v_places
  from org.organizations o join org.plan_limits l on l.plan = o.plan
  where o.id = p_org_id;
  if cardinality(v_domains) > 0 and not coalesce(split_part(p_email, '@', 2) = any (v_domains), false) then
    raise exception 'the organization does not admit this mail domain' using errcode = 'GH422';
  end if;
  if (select count(*) from org.members m where m.org_id = p_org_id) >= v_places then
    raise exception 'the plan has no place for another member' using errcode = 'GH409';
  end if;
end
$$;

-- As before, with the places of the plan and the mail domains. The full lock, where a shared one did before, lets
-- admissions follow one another, so that each counts the ones before it.
create or replace function org.admit_user(
  p_actor_id uuid, p_platform_admin boolean, p_org_id uuid, p_user_id uuid, p_role text
) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
declare
  answer text;
  v_email text;
begin
  perform 1 from org.organizations o where o.id = p_org_id for no key update;
  answer := org.may_admit(p_actor_id, p_platform_admin, p_org_id);
  if answer = 'not_found' then
    raise exception 'no such organization' using errcode = 'GH404';
  end if;
  if answer <> 'ok' or (p_role = 'owner' and not coalesce(p_platform_admin, false) and not exists (
    select 1 from org.members m where m.org_id = p_org_id and m.user_id = p_actor_id and m.role = 'owner'
  )) then
    raise exception 'not allowed to admit users to this organization' using errcode = 'GH403';
  end if;
  v_email := auth.email_of(p_user_id);
  perform org.assert_place(p_org_id, v_email);
  insert into org.members (org_id, user_id, role, added_by) values (p_org_id, p_user_id, p_role, p_actor_id);
  -- What was offered before is settled: a member who is removed does not come back by it.
  update org.invitations i set status = 'cancelled', ended_at = clock_timestamp(), token_hash = null
  where i.org_id = p_org_id and i.email = v_email and i.status = 'open';
end
$$;

-- The open invitation of a token, as the person who holds it may know it.
create function org.find_invitation(p_token_hash bytea, p_now timestamptz)
returns table (id uuid, org_id uuid, org_name text, email text, role text, inviter_id uuid, expires_at timestamptz)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
  select i.id, i.org_id, o.name, i.email, i.role, i.inviter_id, i.expires_at
  from org.invitations i
  join org.organizations o on o.id = i.org_id
  where i.token_hash = p_token_hash and i.status = 'open' and i.expires_at > p_now and o.status = 'active'
$$;

-- The open invitations to an address, for the user who has it.
create function org.list_invitations_to(p_email text, p_now timestamptz, p_after uuid, p_limit integer)
returns table (
  id uuid, org_id uuid, org_name text, role text, note text, inviter_id uuid, created_at timestamptz,
  expires_at timestamptz
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
  select i.id, i.org_id, o.name, i.role, i.note, i.inviter_id, i.created_at, i.expires_at
  from org.invitations i
  join org.organizations o on o.id = i.org_id
  where i.email = p_email and i.status = 'open' and i.expires_at > p_now and o.status = 'active'
    and (p_after is null or i.id > p_after)
  order by i.id
  limit p_limit
$$;

-- Whether an address was ever invited by this invitation, in whatever state it is.
create function org.is_invited(p_invitation_id uuid, p_email text) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
  select exists (select 1 from org.invitations i where i.id = p_invitation_id and i.email = p_email)
$$;

-- Makes the invited user a member. Of many at one instant the first one uses the invitation up. Raises
--   GH400  not open, past its time, another address, another token, the account not in use, or the organization neither
--   GH403  whoever invited may not do so any more
--   GH409  no place in the plan
--   GH422  the organization does not admit the mail domain
--   GH423  a member already
-- With a token hash it counts only as long as the invitation still has that token.
create function org.admit_invited(
  p_invitation_id uuid, p_token_hash bytea, p_user_id uuid, p_email text, p_now timestamptz
) returns table (org_id uuid, role text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
#variable_conflict use_column
declare
  v_org_id uuid;
  v_org_status text;
  v_role text;
  v_inviter_id uuid;
  v_by_platform_admin boolean;
  v_inviter_role text;
  v_inviter_platform_role text;
begin
  -- Before the organization, as whatever deletes an account takes them.
  if not auth.hold_account(p_user_id, p_email) then
    raise exception 'the account does not have this address' using errcode = 'GH400';
  end if;
  select i.org_id into v_org_id from org.invitations i where i.id = p_invitation_id;
  select o.status into v_org_status from org.organizations o where o.id = v_org_id for no key update;
  -- Only now: under the lock nobody else accepts, withdraws, or changes a role.
  update org.invitations i
  set status = 'accepted', accepted_by = p_user_id, ended_at = p_now, token_hash = null
  where i.id = p_invitation_id and i.status = 'open' and i.expires_at > p_now and i.email = p_email
    and (p_token_hash is null or i.token_hash = p_token_hash)
  returning i.role, i.inviter_id, i.by_platform_admin into v_role, v_inviter_id, v_by_platform_admin;
  if v_role is null or v_org_status is distinct from 'active' then
    raise exception 'the invitation is not valid' using errcode = 'GH400';
  end if;
  if exists (select 1 from org.members m where m.org_id = v_org_id and m.user_id = p_user_id) then
    raise exception 'a member already' using errcode = 'GH423';
  end if;

  v_inviter_platform_role := auth.platform_role_of(v_inviter_id);
  select m.role into v_inviter_role from org.members m where m.org_id = v_org_id and m.user_id = v_inviter_id;
  if v_inviter_platform_role is null or not (
    (v_by_platform_admin and v_inviter_platform_role = 'admin')
    or (coalesce(v_inviter_role, '') in ('owner', 'admin') and org.rank_of(v_inviter_role) >= org.rank_of(v_role))
  ) then
    raise exception 'whoever invited may not do so any more' using errcode = 'GH403';
  end if;

  perform org.assert_place(v_org_id, p_email);
  insert into org.members (org_id, user_id, role, added_by, joined_at)
  values (v_org_id, p_user_id, v_role, v_inviter_id, p_now);
  return query select v_org_id, v_role;
end
$$;

-- For a registration by invitation: the same by the token alone.
create function org.accept_invitation(p_token_hash bytea, p_user_id uuid, p_email text, p_now timestamptz)
returns table (org_id uuid, role text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
#variable_conflict use_column
declare
  v_id uuid;
begin
  select i.id into v_id from org.invitations i where i.token_hash = p_token_hash;
  return query select a.org_id, a.role from org.admit_invited(v_id, p_token_hash, p_user_id, p_email, p_now) a;
end
$$;

-- Declines an open invitation to the address, once. The row tells the organization.
create function org.decline_invitation(p_invitation_id uuid, p_email text, p_now timestamptz)
returns table (org_id uuid, role text)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
  update org.invitations i set status = 'declined', ended_at = p_now, token_hash = null
  where i.id = p_invitation_id and i.email = p_email and i.status = 'open' and i.expires_at > p_now
  returning i.org_id, i.role
$$;

-- Makes the mailed links of every open invitation to an address useless, and tells how many. The invitations stand:
-- who signs in with the address can still accept, and an inviter can send a new link.
create function org.cancel_invitation_links(p_email text) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
declare
  v_count integer;
begin
  update org.invitations i set token_hash = null
  where i.email = p_email and i.status = 'open' and i.token_hash is not null;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

-- The organizations with other members that would be left without an owner if the user went. An owner whose account is
-- closing or disabled leads nothing; of two owners who go at one instant the second waits and finds that it is the last.
create function org.sole_owner_of(p_user_id uuid) returns setof uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
begin
  perform from org.organizations o
  where o.id in (select m.org_id from org.members m where m.user_id = p_user_id and m.role = 'owner')
  order by o.id for no key update;
  return query
    select m.org_id
    from org.members m
    join org.organizations o on o.id = m.org_id and o.status <> 'deleted'
    where m.user_id = p_user_id and m.role = 'owner'
      and not exists (
        select 1 from org.members x
        where x.org_id = m.org_id and x.user_id <> p_user_id and x.role = 'owner'
          and auth.platform_role_of(x.user_id) is not null)
      and exists (select 1 from org.members x where x.org_id = m.org_id and x.user_id <> p_user_id)
    order by m.org_id;
end
$$;

-- An event that no request caused: the row that kit's publish would write.
create function org.tell(p_type text, p_org_id uuid, p_target_type text, p_target_id uuid, p_data jsonb) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into events.outbox (id, type, kind, org_id, actor, target_type, target_id, outcome,
                             address, agent, request_id, trace_id, data)
  values (gen_random_uuid(), p_type, 'change', p_org_id, '{"kind": "service"}', p_target_type, p_target_id::text,
          'success', '', 'org', '', '', p_data)
$$;

-- Takes a user whose account is deleted out of every organization. Where no other owner is left, the admin who has been
-- there longest inherits, one whose account is in use before one who was shut out; where there is none either, the organization is deleted, which a platform admin can undo.
-- auth asks sole_owner_of before, so that is for what changed since. Invitations to the address end as well: nothing
-- of them comes alive when somebody else registers it. Call it before the account loses its address.
create function org.forget_user(p_user_id uuid, p_now timestamptz default clock_timestamp()) returns void
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

-- Whoever writes it, and however many at once: an organization that is not deleted keeps an owner.
create function org.assert_owner() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
begin
  perform 1 from org.organizations o where o.id = old.org_id and o.status <> 'deleted' for no key update;
  if found and not exists (select 1 from org.members m where m.org_id = old.org_id and m.role = 'owner') then
    raise exception 'the organization would be left without an owner' using
      errcode = '23514', constraint = 'members_owner_left';
  end if;
  return null;
end
$$;
create constraint trigger members_owner_left
  after update of role or delete on org.members deferrable initially deferred
  for each row when (old.role = 'owner') execute function org.assert_owner();

-- Removes what has had its time, of each kind a batch, and tells how many rows that were: an organization thirty days
-- after its deletion with all that is in it; ended invitations and dead API keys after the organization's retention,
-- ninety days without one.
create or replace function org.cleanup(p_now timestamptz) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set gatehouse.platform = 'on'
as $$
declare
  v_org record;
  v_purged integer := 0;
  v_total integer := 0;
  v_count integer;
begin
  for v_org in
    delete from org.organizations o where o.id in (
      select o.id from org.organizations o where o.deleted_at < p_now - interval '30 days'
      order by o.id limit 100 for update)
    returning o.id, o.name, o.slug
  loop
    perform org.tell('org.organization_purged.v1', v_org.id, 'organization', v_org.id,
      jsonb_build_object('name', v_org.name, 'slug', v_org.slug));
    v_purged := v_purged + 1;
  end loop;
  delete from org.api_keys k where k.id in (
    select k.id from org.api_keys k join org.organizations o on o.id = k.org_id
    where least(k.revoked_at, k.overlap_until, k.expires_at) < p_now - make_interval(days => coalesce(o.retention_days, 90))
    limit 5000);
  get diagnostics v_count = row_count;
  v_total := v_total + v_count;
  delete from org.invitations i where i.id in (
    select i.id from org.invitations i join org.organizations o on o.id = i.org_id
    where coalesce(i.ended_at, i.expires_at) < p_now - make_interval(days => coalesce(o.retention_days, 90))
    limit 5000);
  get diagnostics v_count = row_count;
  v_total := v_total + v_count;
  delete from org.invitation_mails b where b.email_hash in (
    select b.email_hash from org.invitation_mails b where b.resets_at < p_now limit 5000);
  get diagnostics v_count = row_count;
  v_total := v_total + v_count + v_purged;
  -- A full batch of organizations counts as a full one of rows: there may be others.
  return case when v_purged = 100 then greatest(v_total, 5000) else v_total end;
end
$$;

revoke all on function org.rank_of, org.assert_place, org.find_invitation, org.list_invitations_to, org.is_invited,
  org.admit_invited, org.accept_invitation, org.decline_invitation, org.cancel_invitation_links, org.sole_owner_of,
  org.tell, org.forget_user, org.assert_owner from public;
grant execute on function org.find_invitation to gatehouse_auth, gatehouse_org;
grant execute on function org.accept_invitation, org.cancel_invitation_links, org.sole_owner_of, org.forget_user
  to gatehouse_auth;
grant execute on function org.list_invitations_to, org.is_invited, org.admit_invited, org.decline_invitation
  to gatehouse_org;
