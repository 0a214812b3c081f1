-- expand
-- Second factors. A row without confirmed_at is an enrolment under way, which only the session or challenge that began it
-- can end. `recovery` stands for a user's set of recovery codes.
-- secret_sealed is the TOTP seed (AES-256-GCM, bound to this row and its owner); last_step the time step of the last code
-- that was taken, so that each is good once.
create table auth.factors (
  id uuid constraint factors_pkey primary key,
  user_id uuid not null constraint factors_user_fkey references auth.users (id),
  method text not null constraint factors_method_known check (method in ('totp', 'email', 'recovery')),
  secret_sealed bytea,
  last_step bigint,
  bound_to uuid,
  created_at timestamptz(3) not null,
  confirmed_at timestamptz(3),
  expires_at timestamptz(3),
  last_used_at timestamptz(3),
  constraint factors_totp_has_secret check ((method = 'totp') = (secret_sealed is not null)),
  constraint factors_pending_expires check ((confirmed_at is null) = (expires_at is not null)),
  constraint factors_pending_is_bound check ((confirmed_at is null) = (bound_to is not null))
);
create unique index factors_one_confirmed on auth.factors (user_id, method) where confirmed_at is not null;
create unique index factors_one_pending on auth.factors (user_id, method) where confirmed_at is null;
create index factors_by_expiry on auth.factors (expires_at) where expires_at is not null;

grant select, insert, delete on auth.factors to gatehouse_auth;
grant update (secret_sealed, last_step, bound_to, confirmed_at, expires_at, last_used_at) on auth.factors to gatehouse_auth;

-- Recovery codes by their SHA-256: they carry 120 random bits, which no guessing finds again. Using one deletes it.
create table auth.recovery_codes (
  code_hash bytea constraint recovery_codes_pkey primary key,
  user_id uuid not null constraint recovery_codes_user_fkey references auth.users (id),
  created_at timestamptz(3) not null
);
create index recovery_codes_by_user on auth.recovery_codes (user_id);

grant select, insert, delete on auth.recovery_codes to gatehouse_auth;

-- Sign-ins that wait for a second factor, or for one to be set up. account_state is an HMAC of what the account was when
-- the password was verified: a changed one makes the challenge worthless.
create table auth.challenges (
  id uuid constraint challenges_pkey primary key,
  token_hash bytea not null constraint challenges_token_key unique,
  user_id uuid not null constraint challenges_user_fkey references auth.users (id),
  kind text not null constraint challenges_kind_known check (kind in ('verify', 'enrol')),
  amr text[] not null,
  account_state bytea not null,
  guesses integer not null default 0 constraint challenges_guesses_count check (guesses >= 0),
  created_at timestamptz(3) not null,
  expires_at timestamptz(3) not null
);
create index challenges_by_user on auth.challenges (user_id);
create index challenges_by_expiry on auth.challenges (expires_at);

grant select, insert, delete on auth.challenges to gatehouse_auth;
grant update (guesses) on auth.challenges to gatehouse_auth;

-- Codes sent by mail. bound_to is the challenge or session that asked; the HMAC covers user, purpose, binding, address and
-- account state as well, so that a row put elsewhere proves nothing. Tries and sends count for the whole window, whatever
-- is sent anew in it.
create table auth.one_time_codes (
  user_id uuid not null constraint one_time_codes_user_fkey references auth.users (id),
  purpose text not null constraint one_time_codes_purpose_known check (purpose in ('sign_in', 'reauthenticate', 'enrol')),
  bound_to uuid not null,
  code_mac bytea not null,
  tries integer not null default 0 constraint one_time_codes_tries_count check (tries >= 0),
  sends integer not null default 1 constraint one_time_codes_sends_count check (sends >= 1),
  expires_at timestamptz(3) not null,
  window_ends_at timestamptz(3) not null,
  constraint one_time_codes_pkey primary key (user_id, purpose, bound_to)
);
create index one_time_codes_by_expiry on auth.one_time_codes (expires_at);

grant select, insert, delete on auth.one_time_codes to gatehouse_auth;
grant update (code_mac, tries, sends, expires_at, window_ends_at) on auth.one_time_codes to gatehouse_auth;

create function auth.cleanup_second_factors(p_now timestamptz) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_total integer := 0;
  v_count integer;
begin
  delete from auth.challenges c where c.ctid in (
    select c.ctid from auth.challenges c where c.expires_at < p_now limit 5000);
  get diagnostics v_count = row_count;
  v_total := v_total + v_count;
  delete from auth.one_time_codes c where c.ctid in (
    select c.ctid from auth.one_time_codes c where c.expires_at < p_now and c.window_ends_at < p_now limit 5000);
  get diagnostics v_count = row_count;
  v_total := v_total + v_count;
  delete from auth.factors f where f.ctid in (
    select f.ctid from auth.factors f where f.expires_at < p_now limit 5000);
  get diagnostics v_count = row_count;
  return v_total + v_count;
end
$$;
revoke all on function auth.cleanup_second_factors(timestamptz) from public;
