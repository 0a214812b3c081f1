-- expand
-- How many guesses were made in the current window, by bucket (an HMAC: whose account or network it is, it does not tell).
create table auth.guess_budgets (
  bucket bytea constraint guess_budgets_pkey primary key,
  used integer not null constraint guess_budgets_used_counts check (used >= 0),
  resets_at timestamptz(3) not null
);
create index guess_budgets_by_reset on auth.guess_budgets (resets_at);

grant select, insert, update, delete on auth.guess_budgets to gatehouse_auth;
