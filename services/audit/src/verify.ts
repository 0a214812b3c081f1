// `make audit-verify`: recomputes the chain of the whole log and names the first sequence that does not hold.
import { ConfigError, databaseSettings, loadConfig } from '@gatehouse/kit/config';
import { openPool } from '@gatehouse/kit/db';
import { z } from 'zod';
import { verifyChain } from './chain/verify-chain.ts';

const Config = z.object({ ...databaseSettings, AUDIT_DATABASE_PASSWORD: z.string().meta({ secret: true }) });
const say = (line: string) => process.stdout.write(`${line}\n`);

async function verify(): Promise<number> {
  const config = loadConfig(Config, process.env);
  const pool = openPool({
    host: config.DATABASE_HOST,
    port: config.DATABASE_PORT,
    database: config.DATABASE_NAME,
    tls: config.DATABASE_TLS,
    user: 'gatehouse_audit',
    password: config.AUDIT_DATABASE_PASSWORD,
    max: 1,
    name: 'audit-verify',
  });
  try {
    const verification = await verifyChain(pool);
    if (verification.intact) {
      say(`audit log: ${verification.records} records, chain intact, head ${verification.hash.toString('hex')}`);
      return 0;
    }
    const { seq, problem, other } = verification.finding;
    say(`audit log: BROKEN at sequence ${seq}: ${problem}${other ? ` with ${other}` : ''}`);
    say(`the ${verification.records} records before it hold`);
    return 1;
  } finally {
    await pool.end();
  }
}

try {
  process.exitCode = await verify();
} catch (error) {
  process.stderr.write(`audit-verify: ${(error as Error).message}\n`);
  process.exitCode = error instanceof ConfigError ? 78 : 2;
}
