-- expand
-- While nobody seals, events wait here. What an administrator does is refused once too many wait, since it must never be
-- done unrecorded; what users do goes on, and fills the rest of the disk slowly. The number is an estimate by the ends of
-- an index, a million unless the database says otherwise: alter database … set gatehouse.outbox_max = '…'.
create function events.refuse_when_full() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if (select max(o.position) from events.outbox o) - (select min(o.position) from events.outbox o)
      >= coalesce(nullif(current_setting('gatehouse.outbox_max', true), '')::bigint, 1000000) then
    -- Class 53 is answered with 503.
    raise exception 'too many events wait to be sealed' using errcode = 'configuration_limit_exceeded';
  end if;
  return new;
end $$;
revoke all on function events.refuse_when_full() from public;
create trigger refuse_when_full before insert on events.outbox
  for each row when (new.kind = 'admin_action') execute function events.refuse_when_full();
