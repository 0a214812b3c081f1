import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { many, one } from '@gatehouse/kit/db';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { eventually } from '@gatehouse/testkit/eventually';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { verifyChain } from '../chain/verify-chain.ts';
import { publishMany } from '../test-events.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

/** A process that does nothing but seal. */
function sealer(): ChildProcess {
  const connection = JSON.stringify({ ...db.connection('audit'), max: 2, name: 'audit' });
  const code = `
    import { openPool } from '@gatehouse/kit/db';
    import { createLogger } from '@gatehouse/kit/log';
    import { createMetrics } from '@gatehouse/kit/metrics';
    import { startSealing } from '${new URL('./sealing.ts', import.meta.url).href}';
    const log = createLogger({ service: 'audit', version: '0', environment: 'test', level: 'error' });
    const metrics = createMetrics({ version: '0', revision: '0' });
    startSealing({ pool: openPool(${connection}), log, metrics, clock: () => new Date(), idleMs: 1 });`;
  return spawn(process.execPath, ['--input-type=module-typescript', '-e', code], {
    cwd: import.meta.dirname,
    stdio: 'ignore',
  });
}

test('F03: with audit killed again and again at 500 events a second, every event is sealed exactly once', async () => {
  const seqs = async () =>
    (await one(db.pool('admin'), z.object({ n: z.number() }))`select count(*) as n from audit.log`).n;
  let kills = 0;
  let publishing = true;
  const killer = (async () => {
    while (publishing) {
      const before = await seqs();
      const child = sealer();
      // Killed only once it has sealed something, at an arbitrary moment after that.
      await eventually(async () => !publishing || (await seqs()) > before, { timeoutMs: 15_000 });
      await delay(Math.random() * 30);
      child.kill('SIGKILL');
      kills += 1;
    }
  })();

  const started = Date.now();
  let published = 0;
  while (Date.now() - started < 6_000) {
    await publishMany(db.pool('org'), 10);
    published += 10;
    await delay(Math.max(0, started + published * 2 - Date.now()));
  }
  publishing = false;
  await killer;

  const last = sealer();
  try {
    await eventually(async () => (await seqs()) === published, { timeoutMs: 10_000 });
  } finally {
    last.kill('SIGKILL');
  }
  expect(kills).toBeGreaterThan(3);
  const twice = await many(
    db.pool('admin'),
    z.object({ id: z.string() }),
  )`select l.id from audit.log l group by l.id having count(*) > 1`;
  expect(twice).toEqual([]);
  expect(await verifyChain(db.pool('audit'))).toMatchObject({ intact: true, records: published });
}, 60_000);
