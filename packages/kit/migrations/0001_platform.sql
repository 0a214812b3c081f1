-- expand
-- Nothing is anyone's by default: every grant is written down beside what it opens.
alter default privileges revoke execute on functions from public;
revoke all on schema public from public;

create schema app;
grant usage on schema app to
  gatehouse_auth, gatehouse_org, gatehouse_audit, gatehouse_worker, gatehouse_gateway;

-- The organization that the transaction acts for; none named: null, and every policy that compares with it denies.
create function app.current_org_id() returns uuid
  language sql stable parallel safe
  return nullif(current_setting('gatehouse.org_id', true), '')::uuid;

create function app.is_platform() returns boolean
  language sql stable parallel safe
  return coalesce(current_setting('gatehouse.platform', true) = 'on', false);

grant execute on function app.current_org_id(), app.is_platform() to
  gatehouse_auth, gatehouse_org, gatehouse_audit, gatehouse_worker, gatehouse_gateway;
