-- expand
-- Who registers openly visits as a guest until somebody proves the address, whether or not it has an account: a row of
-- its own beside that account or claim, which never becomes one. email is a placeholder that nobody can type;
-- registered_email is what was registered, and what the guest is shown. password_tag: 16 bits of a keyed hash of the
-- password, by which a sign-in knows which guest's hash to verify. confirm_by: when the visit ends.
alter table auth.users
  add column registered_email text,
  add column password_tag integer,
  add constraint users_visitor_is_guest check (
    registered_email is null or (role = 'guest' and confirm_by is not null and email_verified_at is null));
-- Serves the guests of an address as well as addresses by their beginning.
create index users_by_registered_email on auth.users (registered_email text_pattern_ops)
  where registered_email is not null;
grant update (password_tag) on auth.users to gatehouse_auth;

-- What is deleted with a visit, ended sessions too, is found without reading everybody's.
create index sessions_by_user on auth.sessions (user_id);
create index devices_by_user on auth.devices (user_id);
