// `make migrate` and `make migrate-status`, on the platform that `make up` runs or on the database that DATABASE_HOST
// and its like name.
import { databaseSettings, loadConfig, secret } from '@gatehouse/kit/config';
import { migrate, status } from '@gatehouse/kit/migrations';
import pg from 'pg';
import { z } from 'zod';
import { ROOT } from './src/platform.ts';
import { toolEnvironment } from './src/tool-environment.ts';

const Config = z.object({ ...databaseSettings, MIGRATOR_DATABASE_PASSWORD: secret() });
const say = (line: string) => void process.stdout.write(`${line}\n`);

async function run(command: string | undefined): Promise<void> {
  const config = loadConfig(Config, toolEnvironment(ROOT, process.env, 'MIGRATOR_DATABASE_PASSWORD'));
  const connection = {
    host: config.DATABASE_HOST,
    port: config.DATABASE_PORT,
    database: config.DATABASE_NAME,
    user: 'gatehouse_migrator',
    password: config.MIGRATOR_DATABASE_PASSWORD,
  };
  if (command === 'apply') {
    const applied = await migrate({ ...connection, tls: config.DATABASE_TLS }, { root: ROOT, onProgress: say });
    return say(applied.length > 0 ? `${applied.length} applied` : 'nothing to apply');
  }
  const client = new pg.Client({ ...connection, ssl: config.DATABASE_TLS });
  await client.connect();
  try {
    for (const { state, unit, name, kind, applied_at } of await status(client, { root: ROOT }))
      say(`${state.padEnd(8)} ${`${unit}/${name}`.padEnd(40)} ${kind.padEnd(9)} ${applied_at?.toISOString() ?? ''}`);
  } finally {
    await client.end();
  }
}

try {
  await run(process.argv[2]);
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  const hint = code === 'ECONNREFUSED' ? 'no database answers; is the platform up? (make up)' : message;
  process.stderr.write(`${hint}\n`);
  process.exitCode = 1;
}
