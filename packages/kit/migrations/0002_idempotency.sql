-- expand
-- Answers of requests that came with an Idempotency-Key, written in the transaction of the effect.
create table app.idempotency_keys (
  scope text not null,
  request_hash text not null,
  answer jsonb,
  created_at timestamptz(3) not null default clock_timestamp(),
  constraint idempotency_keys_pkey primary key (scope)
);
create index idempotency_keys_created_at_idx on app.idempotency_keys (created_at);

grant select, insert, update on app.idempotency_keys to
  gatehouse_auth, gatehouse_org, gatehouse_audit, gatehouse_worker;

-- Forgets keys a day after their use, a batch at a time, and tells how many.
create function app.cleanup(p_now timestamptz) returns integer
  language plpgsql security definer set search_path = ''
as $$
declare
  removed integer;
begin
  delete from app.idempotency_keys k where k.ctid in (
    select k.ctid from app.idempotency_keys k where k.created_at < p_now - interval '24 hours' limit 5000);
  get diagnostics removed = row_count;
  return removed;
end
$$;
grant execute on function app.cleanup(timestamptz) to gatehouse_worker;
