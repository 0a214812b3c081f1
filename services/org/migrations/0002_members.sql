-- expand
-- Who belongs to an organization, and as what. Users live in another schema, so user_id has no foreign key.
create table org.members (
  org_id uuid not null,
  user_id uuid not null,
  role text not null,
  added_by uuid,
  joined_at timestamptz(3) not null default clock_timestamp(),
  constraint members_pkey primary key (org_id, user_id),
  constraint members_org_id_fkey foreign key (org_id) references org.organizations (id) on delete cascade,
  constraint members_role_known check (role in ('owner', 'admin', 'analyst', 'billing', 'viewer'))
);

create index members_user_id_idx on org.members (user_id, org_id);
create index members_owners_idx on org.members (org_id) where role = 'owner';

alter table org.members enable row level security;
alter table org.members force row level security;
create policy members_tenant on org.members
  using (org_id = app.current_org_id() or app.is_platform());

grant select, insert, update, delete on org.members to gatehouse_org;
