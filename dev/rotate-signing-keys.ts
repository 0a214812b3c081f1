// `make rotate-signing-keys`: rotates the keys of access tokens of the platform that `make up` runs, or of the one whose
// DATABASE_HOST and its like, and JWT_SECRET, the environment names.
import { spawnSync } from 'node:child_process';
import { ROOT } from './src/platform.ts';
import { toolEnvironment } from './src/tool-environment.ts';

const { FORCE, PATH } = process.env;
const env = {
  PATH,
  ...toolEnvironment(ROOT, process.env, 'AUTH_DATABASE_PASSWORD', 'JWT_SECRET', 'JWT_SECRET_ALTERNATE'),
  ...(FORCE ? { FORCE } : {}),
};
const { status } = spawnSync(process.execPath, ['services/auth/src/keys/main.ts'], {
  cwd: ROOT,
  env,
  stdio: 'inherit',
});
process.exit(status ?? 1);
