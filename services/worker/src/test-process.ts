import { systemClock } from '@gatehouse/kit/clock';
import { type ConnectionSettings, openPool } from '@gatehouse/kit/db';
import { createMetrics } from '@gatehouse/kit/metrics';
import { smtpTransport } from './mail/smtp.ts';
import { mailKey, PUBLIC_URL, quietLog } from './test-worker.ts';
import { startWorking } from './working.ts';

// A worker as a process of its own, for tests that kill one. What it works with is its one argument.
export interface ProcessSettings {
  database: ConnectionSettings;
  redisUrl: string;
  smtp: { host: string; port: number };
  leaseMs: number;
  lockMs: number;
}

const { database, redisUrl, smtp, leaseMs, lockMs } = JSON.parse(process.argv[2] ?? '') as ProcessSettings;
startWorking({
  pool: openPool({ ...database, max: 5, name: 'worker' }),
  clock: systemClock,
  log: quietLog,
  metrics: createMetrics({ version: '0', revision: '0' }),
  redis: { url: redisUrl },
  mail: {
    transport: smtpTransport({ ...smtp, security: 'none' }),
    mailKeys: [mailKey],
    publicUrl: PUBLIC_URL,
    from: 'Gatehouse <no-reply@gatehouse.test>',
  },
  leaseMs,
  lockMs,
  lostAfterMs: leaseMs * 2,
  sweepMs: 100,
});
process.stdout.write('ready\n');
