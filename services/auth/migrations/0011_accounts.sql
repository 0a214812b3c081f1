-- expand
-- A guest with confirm_by has registered openly and not confirmed the address yet: a claim, not an account. It has no
-- password (that of the registration whose link is used becomes the account's), nobody signs in to it, it keeps
-- nobody from the address, and it is deleted at that moment.
alter table auth.users add column confirm_by timestamptz(3);
create index users_by_claim on auth.users (confirm_by) where confirm_by is not null;
update auth.users u set confirm_by = u.created_at + interval '7 days', password_hash = null
where u.role = 'guest' and u.status = 'active' and u.email_verified_at is null;
grant update (confirm_by) on auth.users to gatehouse_auth;

-- An address that is to change: it does when both the old and the new one have confirmed. One for each user, so that
-- a newer wish replaces the older one.
create table auth.email_changes (
  user_id uuid constraint email_changes_pkey primary key constraint email_changes_user_fkey references auth.users (id),
  id uuid not null constraint email_changes_id_key unique,
  old_email text not null,
  new_email text not null,
  old_confirmed_at timestamptz(3),
  new_confirmed_at timestamptz(3),
  created_at timestamptz(3) not null,
  expires_at timestamptz(3) not null
);
create index email_changes_by_expiry on auth.email_changes (expires_at);
grant select, insert, delete on auth.email_changes to gatehouse_auth;
grant update (old_confirmed_at, new_confirmed_at) on auth.email_changes to gatehouse_auth;
