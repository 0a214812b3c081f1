-- expand
-- pending: published, does not sign yet. active: signs. retired: published until what it signed has expired.
create table auth.signing_keys (
  kid text constraint signing_keys_pkey primary key,
  status text not null constraint signing_keys_status_known check (status in ('pending', 'active', 'retired')),
  public_jwk jsonb not null,
  private_sealed bytea,
  created_at timestamptz(3) not null,
  activated_at timestamptz(3),
  retired_at timestamptz(3),
  constraint signing_keys_retired_cannot_sign check ((status = 'retired') = (private_sealed is null)),
  constraint signing_keys_active_since check (status = 'pending' or activated_at is not null),
  constraint signing_keys_retired_since check ((status = 'retired') = (retired_at is not null))
);
create unique index signing_keys_one_active on auth.signing_keys (status) where status = 'active';
create unique index signing_keys_one_pending on auth.signing_keys (status) where status = 'pending';

grant select, insert on auth.signing_keys to gatehouse_auth;
grant update (status, private_sealed, activated_at, retired_at) on auth.signing_keys to gatehouse_auth;
