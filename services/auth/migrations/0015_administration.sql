-- expand
-- The search of administrators: by the beginning of an address or a name, newest accounts first.
create index users_email_prefix on auth.users (email text_pattern_ops);
create index users_name_prefix on auth.users (lower(name) text_pattern_ops);
create index users_by_creation on auth.users (created_at desc, id desc);

-- How far the import of a file has come, by the hash of its bytes; written with the accounts of each batch.
create table auth.imports (
  file_hash bytea constraint imports_pkey primary key,
  path text not null,
  line integer not null default 0 constraint imports_line_counts check (line >= 0),
  created integer not null default 0,
  refused integer not null default 0,
  started_at timestamptz(3) not null,
  finished_at timestamptz(3)
);
create index imports_open_by_path on auth.imports (path) where finished_at is null;

create table auth.import_refusals (
  file_hash bytea not null constraint import_refusals_import_fkey references auth.imports (file_hash),
  line integer not null,
  reason text not null,
  constraint import_refusals_pkey primary key (file_hash, line)
);

grant select, insert on auth.imports, auth.import_refusals to gatehouse_auth;
grant update (path, line, created, refused, finished_at) on auth.imports to gatehouse_auth;
