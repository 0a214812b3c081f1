-- expand
-- key_sealed holds the key of the session's refresh tokens (AES-256-GCM, bound to this row and owner).
-- generation counts rotations: the token of this generation is current, the one before it lives for the grace period
-- that starts at rotated_at.
create table auth.sessions (
  id uuid constraint sessions_pkey primary key,
  user_id uuid not null constraint sessions_user_fkey references auth.users (id),
  key_sealed bytea not null,
  generation bigint not null default 0 constraint sessions_generation_counts check (generation >= 0),
  rotated_at timestamptz(3) not null,
  device text not null,
  address text not null,
  created_at timestamptz(3) not null,
  last_used_at timestamptz(3) not null,
  idle_expires_at timestamptz(3) not null,
  expires_at timestamptz(3) not null,
  ended_at timestamptz(3),
  end_reason text,
  constraint sessions_end_has_reason check ((ended_at is null) = (end_reason is null))
);

-- The list of a user's live sessions and the search for the oldest one; its size is that of one user, never of all.
create index sessions_live_by_user on auth.sessions (user_id, created_at, id) where ended_at is null;
create index sessions_by_expiry on auth.sessions (expires_at);

grant select, insert on auth.sessions to gatehouse_auth;
grant update (generation, rotated_at, address, last_used_at, idle_expires_at, ended_at, end_reason)
  on auth.sessions to gatehouse_auth;
