// `make audit-verify`: recomputes the chain of the audit log of the platform that `make up` runs, or of the database
// that DATABASE_HOST and its like name.
import { spawnSync } from 'node:child_process';
import { ROOT } from './src/platform.ts';
import { toolEnvironment } from './src/tool-environment.ts';

const env = { PATH: process.env['PATH'], ...toolEnvironment(ROOT, process.env, 'AUDIT_DATABASE_PASSWORD') };
const { status } = spawnSync(process.execPath, ['services/audit/src/verify.ts'], { cwd: ROOT, env, stdio: 'inherit' });
process.exit(status ?? 1);
