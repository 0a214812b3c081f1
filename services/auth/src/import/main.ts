// `make import-users FILE=users.ndjson`: imports users with the hashes of the system they come from.
import { accessSync, constants } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@gatehouse/kit/clock';
import { ConfigError, databaseSettings, loadConfig } from '@gatehouse/kit/config';
import { openPool } from '@gatehouse/kit/db';
import { schemaCheck } from '@gatehouse/kit/migrations';
import { z } from 'zod';
import { ImportError, importUsers } from './import.ts';
import { writeRefused } from './report.ts';

const Config = z.object({
  ...databaseSettings,
  AUTH_DATABASE_PASSWORD: z.string().meta({ secret: true }),
  /** The file, and whether one that was changed in the middle is imported as a new one. */
  FILE: z.string(),
  ANEW: z.enum(['1']).optional(),
});
const EX_USAGE = 64;
const EX_CONFIG = 78;
const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url));

const say = (line: string) => process.stdout.write(`${line}\n`);
const complain = (line: string) => process.stderr.write(`${line}\n`);

async function run(): Promise<void> {
  const config = loadConfig(Config, process.env);
  const path = resolve(config.FILE);
  accessSync(path, constants.R_OK);
  const pool = openPool({
    host: config.DATABASE_HOST,
    port: config.DATABASE_PORT,
    database: config.DATABASE_NAME,
    tls: config.DATABASE_TLS,
    user: 'gatehouse_auth',
    password: config.AUTH_DATABASE_PASSWORD,
    max: 2,
    name: 'auth-import',
  });
  try {
    await schemaCheck(pool, 'auth', MIGRATIONS);
    const done = await importUsers({
      pool,
      clock: systemClock,
      path,
      anew: config.ANEW === '1',
      onBegin({ line, finished_at }) {
        if (finished_at !== null) say('the file was imported before; nothing is done again');
        else if (line > 0) say(`goes on behind line ${line}`);
      },
      onRefused: ({ line, reason }) => complain(`line ${line}: ${reason}`),
    });
    await writeRefused(pool, done.file_hash, `${path}.refused.ndjson`);
    say(`${done.created} users imported, ${done.refused} lines refused, ${done.line} lines read`);
    if (done.refused > 0) say(`refused lines: ${path}.refused.ndjson`);
  } finally {
    await pool.end();
  }
}

try {
  await run();
} catch (error) {
  const { message } = error as Error;
  const oneLine = message.replace(/\s*\n\s*-?\s*/g, ' ');
  complain(`import-users: ${oneLine}`);
  process.exitCode = error instanceof ConfigError ? EX_CONFIG : error instanceof ImportError ? 1 : EX_USAGE;
}
