-- expand
create schema if not exists auth;
grant usage on schema auth to gatehouse_auth;

-- email is normalised before it comes here (NFKC, trimmed, lower-cased) and compared as it is stored.
-- password_hash is null for an account that signs in without a password.
create table auth.users (
  id uuid constraint users_pkey primary key,
  email text not null,
  name text not null,
  role text not null constraint users_role_known check (role in ('admin', 'user', 'guest')),
  status text not null default 'active' constraint users_status_known check (status in ('active', 'disabled', 'deleted')),
  password_hash text,
  email_verified_at timestamptz(3),
  created_at timestamptz(3) not null,
  updated_at timestamptz(3) not null,
  constraint users_email_normalised check (email = lower(normalize(email, nfkc)) and email = btrim(email)),
  constraint users_email_length check (length(email) <= 254)
);

-- A deleted account keeps its row for the record and gives its address free.
create unique index users_email_key on auth.users (email) where status <> 'deleted';

grant select, insert on auth.users to gatehouse_auth;
grant update (name, role, password_hash, email_verified_at, updated_at) on auth.users to gatehouse_auth;
