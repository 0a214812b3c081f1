// `make import-users FILE=users.ndjson`: imports users into the platform that `make up` runs, or into the database that
// DATABASE_HOST and its like name.
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { ROOT } from './src/platform.ts';
import { toolEnvironment } from './src/tool-environment.ts';

const { FILE, ANEW, PATH } = process.env;
if (!FILE) {
  process.stderr.write('import-users: name the file: make import-users FILE=users.ndjson\n');
  process.exit(64);
}
const env = {
  PATH,
  ...toolEnvironment(ROOT, process.env, 'AUTH_DATABASE_PASSWORD'),
  FILE: resolve(FILE),
  ...(ANEW ? { ANEW } : {}),
};
const { status } = spawnSync(process.execPath, ['services/auth/src/import/main.ts'], {
  cwd: ROOT,
  env,
  stdio: 'inherit',
});
process.exit(status ?? 1);
