\set info `cat /tmp/info.json`
with backups as (
  select (b -> 'database' ->> 'repo-key')::int as repo, b ->> 'type' as type, (b -> 'timestamp' ->> 'start')::bigint as at
  from jsonb_array_elements(:'info'::jsonb) s, jsonb_array_elements(s -> 'backup') b
  where s ->> 'name' = 'gatehouse' and not coalesce((b ->> 'error')::boolean, false)
)
select r.repo,
  coalesce(max(b.at) filter (where b.type = 'full'), 0),
  coalesce(max(b.at) filter (where b.type in ('full', 'diff')), 0)
from generate_series(1, 2) r (repo) left join backups b on b.repo = r.repo
group by r.repo order by r.repo;
