-- expand
-- What a sign-in has proved goes with the session and into its access tokens (RFC 8176; OpenID Connect Core, section 2).
-- A disabled account with deletion_due_at is closing: it is deleted then, and can be kept until then.
alter table auth.users
  add column password_reset_required boolean not null default false,
  add column disabled_at timestamptz(3),
  add column disabled_reason text constraint users_disabled_reason_length check (length(disabled_reason) <= 500),
  add column deletion_due_at timestamptz(3);
create index users_by_deletion on auth.users (deletion_due_at) where deletion_due_at is not null;

grant update (email, status, password_reset_required, disabled_at, disabled_reason, deletion_due_at)
  on auth.users to gatehouse_auth;

alter table auth.sessions
  add column amr text[] not null default '{pwd}',
  add column authenticated_at timestamptz(3),
  add column device_id uuid;

grant update (amr, authenticated_at) on auth.sessions to gatehouse_auth;

-- Links that a mail carried: each proves one thing, once, for a while. Only the hash of its token is kept.
create table auth.action_tokens (
  token_hash bytea constraint action_tokens_pkey primary key,
  purpose text not null,
  user_id uuid not null constraint action_tokens_user_fkey references auth.users (id),
  -- The address that the link went to: a link proves nothing about another one.
  email text not null,
  data jsonb not null default '{}',
  created_at timestamptz(3) not null,
  expires_at timestamptz(3) not null
);
create index action_tokens_by_user on auth.action_tokens (user_id, purpose);
create index action_tokens_by_expiry on auth.action_tokens (expires_at);

grant select, insert, delete on auth.action_tokens to gatehouse_auth;
