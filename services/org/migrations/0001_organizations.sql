-- expand
-- What an organization is. Its row is also the lock of everything in it: see src/organizations/organizations.ts.
create schema if not exists org;
revoke all on schema org from public;
grant usage on schema org to gatehouse_org;

create table org.organizations (
  id uuid not null,
  name text not null,
  slug text not null,
  status text not null default 'active',
  plan text not null default 'free',
  created_by uuid not null,
  created_at timestamptz(3) not null default clock_timestamp(),
  updated_at timestamptz(3) not null default clock_timestamp(),
  deleted_at timestamptz(3),
  constraint organizations_pkey primary key (id),
  constraint organizations_slug_key unique (slug),
  constraint organizations_name_length check (char_length(name) between 1 and 100),
  -- Slugs are compared the way they are stored: one spelling exists, so no other can stand beside it.
  constraint organizations_slug_form check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and char_length(slug) between 2 and 48),
  constraint organizations_status_known check (status in ('active', 'suspended', 'deleted')),
  constraint organizations_plan_known check (plan in ('free', 'pro', 'enterprise')),
  constraint organizations_deleted_at_set check ((status = 'deleted') = (deleted_at is not null))
);

create index organizations_created_by_idx on org.organizations (created_by);
create index organizations_status_idx on org.organizations (status, id);

alter table org.organizations enable row level security;
alter table org.organizations force row level security;
create policy organizations_tenant on org.organizations
  using (id = app.current_org_id() or app.is_platform());

-- No delete: an organization that goes is marked, and its name stays taken until it is purged.
grant select, insert, update on org.organizations to gatehouse_org;
