-- expand
-- API keys: of the key itself only its SHA-256 and the first characters are kept.
create table org.api_keys (
  id uuid not null,
  org_id uuid not null,
  name text not null,
  prefix text not null,
  hash bytea not null,
  scopes text[] not null,
  rules jsonb not null default '[]',
  addresses text[] not null default '{}',
  created_by uuid not null,
  created_at timestamptz(3) not null,
  expires_at timestamptz(3) not null,
  revoked_at timestamptz(3),
  replaced_by uuid,
  overlap_until timestamptz(3),
  last_used_at timestamptz(3),
  constraint api_keys_pkey primary key (id),
  constraint api_keys_hash_key unique (hash),
  constraint api_keys_org_id_fkey foreign key (org_id) references org.organizations (id) on delete cascade,
  constraint api_keys_replaced_by_fkey foreign key (replaced_by) references org.api_keys (id) on delete set null,
  constraint api_keys_name_length check (char_length(name) between 1 and 100),
  constraint api_keys_hash_length check (octet_length(hash) = 32),
  constraint api_keys_prefix_length check (char_length(prefix) <= 16)
);

create index api_keys_org_id_idx on org.api_keys (org_id, id desc);
create index api_keys_replaced_by_idx on org.api_keys (replaced_by) where replaced_by is not null;

alter table org.api_keys enable row level security;
alter table org.api_keys force row level security;
create policy api_keys_tenant on org.api_keys
  using (org_id = app.current_org_id() or app.is_platform());

-- What a key is never changes; only how long it lives and when it was used does.
grant select, insert on org.api_keys to gatehouse_org;
grant update (revoked_at, replaced_by, overlap_until, last_used_at) on org.api_keys to gatehouse_org;
