#!/bin/bash
# The role of the exporter and of whoever looks: reads statistics, and no row of anybody. Runs once, on a new volume.
set -euo pipefail
# By psql's own reading of the file: as an argument the password would stand in the process list.
psql -XqAt -v ON_ERROR_STOP=1 -d postgres <<'SQL'
\set password `cat /run/secrets/MONITOR_DATABASE_PASSWORD`
create role monitor login connection limit 5 password :'password';
grant pg_monitor to monitor;
alter role monitor set statement_timeout = '10s';
create extension if not exists pg_stat_statements;
SQL
