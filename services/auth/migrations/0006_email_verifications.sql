-- expand
-- Each registration of an unconfirmed address has its own row with its own password: the one whose link is used counts,
-- so that whoever registered somebody else's address first gains nothing when the owner confirms.
create table auth.email_verifications (
  token_hash bytea constraint email_verifications_pkey primary key,
  user_id uuid not null constraint email_verifications_user_fkey references auth.users (id),
  email text not null,
  name text not null,
  password_hash text not null,
  created_at timestamptz(3) not null,
  expires_at timestamptz(3) not null
);
create index email_verifications_by_user on auth.email_verifications (user_id);
create index email_verifications_by_expiry on auth.email_verifications (expires_at);

grant select, insert, delete on auth.email_verifications to gatehouse_auth;
