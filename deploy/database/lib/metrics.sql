\set info `cat /tmp/info.json`
\pset footer off
create temporary table newest as
select distinct on (b ->> 'type') b ->> 'type' as kind, (b -> 'timestamp' ->> 'stop')::bigint as at,
  (b -> 'info' ->> 'size')::bigint as bytes
from jsonb_array_elements(:'info'::jsonb) s, jsonb_array_elements(s -> 'backup') b
where s ->> 'name' = 'gatehouse' and not coalesce((b ->> 'error')::boolean, false)
order by b ->> 'type', (b -> 'timestamp' ->> 'stop')::bigint desc;
select '# HELP backup_last_success_timestamp_seconds When the newest backup of a kind ended.';
select '# TYPE backup_last_success_timestamp_seconds gauge';
select format('backup_last_success_timestamp_seconds{kind="%s"} %s', kind, at) from newest order by kind;
select '# HELP backup_size_bytes Size of the database, or of the dump, in the newest backup of a kind.';
select '# TYPE backup_size_bytes gauge';
select format('backup_size_bytes{kind="%s"} %s', kind, bytes) from newest order by kind;
