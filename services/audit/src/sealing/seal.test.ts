import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { systemClock } from '@gatehouse/kit/clock';
import { many, one, run, transaction } from '@gatehouse/kit/db';
import { createLogger } from '@gatehouse/kit/log';
import { createMetrics } from '@gatehouse/kit/metrics';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { eventually } from '@gatehouse/testkit/eventually';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { verifyChain } from '../chain/verify-chain.ts';
import { publishMany, sealAll, testActor } from '../test-events.ts';
import { seal } from './seal.ts';
import { startSealing } from './sealing.ts';
import { sealingMetrics } from './sealing-metrics.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());
afterEach(async () => {
  await run(db.pool('admin'))`delete from events.outbox`;
  const verification = await verifyChain(db.pool('audit'));
  expect(verification).toMatchObject({ intact: true });
});

const admin = () => db.pool('admin');
const count = async () => (await one(admin(), z.object({ n: z.number() }))`select count(*) as n from audit.log`).n;
const newest = (n: number) =>
  many(
    admin(),
    z.looseObject({ seq: z.number() }),
  )`select l.*, l.occurred_at::text as time from audit.log l order by l.seq desc limit ${n}`;

test('an event leaves the outbox and enters the log with everything it says', async () => {
  const org = '00000000-0000-7000-8000-000000000001';
  const actor = testActor();
  await publishMany(db.pool('org'), 1, org, actor);

  expect(await sealAll(db.pool('audit'))).toBe(1);

  const [record] = await newest(1);
  expect(record).toMatchObject({
    type: 'access.denied.v1',
    kind: 'access',
    org_id: org,
    actor_kind: 'user',
    actor_id: actor.user_id,
    outcome: 'denied',
    address: '203.0.113.7',
    agent: actor.agent,
    request_id: 'r1',
    data: { method: 'GET', route: '/r/1', status: 403, code: 'access.denied' },
  });
  expect(await sealAll(db.pool('audit'))).toBe(0);
});

test('more than one transaction takes is sealed in order, in chunks', async () => {
  await publishMany(db.pool('org'), 25);
  const before = await count();

  const first = await seal(db.pool('audit'), { clock: systemClock, chunk: 4, chunksMax: 3 });
  expect(first).toMatchObject({ more: true });
  expect(first.sealed).toHaveLength(12);
  expect(await sealAll(db.pool('audit'))).toBe(13);

  const routes = (await newest(25)).reverse().map((record) => (record['data'] as { route: string }).route);
  expect(routes).toEqual(Array.from({ length: 25 }, (_, n) => `/r/${n + 1}`));
  expect(await count()).toBe(before + 25);
});

// Guards the lock on the head: without it both read the same head, and the second fails on the sequence.
test('two sealers at once seal every event exactly once', async () => {
  const before = await count();
  for (let round = 0; round < 10; round++) {
    await publishMany(db.pool('org'), 20);
    await Promise.all([1, 2, 3].map(() => seal(db.pool('audit'), { clock: systemClock, chunk: 5, chunksMax: 2 })));
  }
  await sealAll(db.pool('audit'));
  expect(await count()).toBe(before + 200);
});

test('F03: a sealer whose connection is killed again and again loses nothing and doubles nothing', async () => {
  const before = await count();
  await publishMany(db.pool('org'), 400);
  let killing = true;
  const killer = (async () => {
    while (killing) {
      await run(admin())`
        select pg_terminate_backend(a.pid) from pg_stat_activity a
        where a.datname = current_database() and a.usename = 'gatehouse_audit'`;
      await delay(3);
    }
  })();
  for (let attempt = 0; attempt < 60; attempt++)
    await seal(db.pool('audit'), { clock: systemClock, chunk: 2, chunksMax: 5 }).catch(() => undefined);
  killing = false;
  await killer;
  await eventually(() => sealAll(db.pool('audit')).then(() => true));
  expect(await count()).toBe(before + 400);
});

test('F34: a transaction that commits after 1,000 later ones is not missed', async () => {
  const before = await count();
  const stop = startSealing({
    pool: db.pool('audit'),
    log: createLogger({ service: 'audit', version: '0', environment: 'test', level: 'error' }),
    metrics: createMetrics({ version: '0', revision: '0' }),
    clock: systemClock,
    idleMs: 5,
  });
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const low = transaction(db.pool('org'), async (tx) => {
    await publishMany(tx, 1, null, testActor({ agent: 'low' }));
    await released;
  });
  await eventually(async () => {
    const { n } = await one(admin(), z.object({ n: z.number() }))`
      select count(*) as n from pg_stat_activity a where a.state = 'idle in transaction' and a.datname = current_database()`;
    return n > 0;
  });

  await Promise.all(Array.from({ length: 50 }, () => publishMany(db.pool('auth'), 20)));
  await eventually(async () => (await count()) === before + 1_000);
  release();
  await low;

  await eventually(async () => (await count()) === before + 1_001);
  const [last] = await newest(1);
  expect(last).toMatchObject({ agent: 'low' });
  await stop.stop();
});

test('the metrics of sealing are there from the start and tell what was sealed and what waits', async () => {
  const metrics = createMetrics({ version: '0', revision: '0' });
  const observe = sealingMetrics(metrics, db.pool('audit'));
  await publishMany(db.pool('org'), 3);
  const before = await metrics.registry.metrics();
  for (const line of [
    'audit_events_total{outcome="failure"} 0',
    'audit_write_lag_seconds_count 0',
    'audit_chain_verify_failures_total 0',
    'audit_outbox_pending 3',
  ])
    expect(before).toContain(line);

  observe.sealed((await seal(db.pool('audit'), { clock: systemClock })).sealed);

  const after = await metrics.registry.metrics();
  for (const line of [
    'audit_events_total{outcome="denied"} 3',
    'audit_write_lag_seconds_count 3',
    'audit_outbox_pending 0',
  ])
    expect(after).toContain(line);
});

test('a log that does not end at its head counts as a failure, and sealing goes on', async () => {
  const metrics = createMetrics({ version: '0', revision: '0' });
  const log = createLogger({ service: 'audit', version: '0', environment: 'test', level: 'error' });
  log.silent = true;
  const cut = await testDatabase();
  try {
    await publishMany(cut.pool('org'), 3);
    await sealAll(cut.pool('audit'));
    await cut.pool('admin').pg.query(`set session_replication_role = replica; delete from audit.log where seq = 3`);
    await publishMany(cut.pool('org'), 1);
    const sealing = startSealing({ pool: cut.pool('audit'), log, metrics, clock: systemClock, idleMs: 5 });
    await eventually(async () => (await metrics.registry.metrics()).includes('audit_chain_verify_failures_total 1'));
    await eventually(async () => (await metrics.registry.metrics()).includes('audit_outbox_pending 0'));
    await sealing.stop();
    expect(await verifyChain(cut.pool('audit'))).toMatchObject({
      intact: false,
      finding: { seq: 3, problem: 'missing' },
    });
  } finally {
    await cut.close();
  }
});

// A writer whose commit was not acknowledged tries again: its events may already be in the log.
test('F14 an event that is written again after it was sealed is in the log once, and holds nothing up', async () => {
  await publishMany(db.pool('org'), 3);
  await sealAll(db.pool('audit'));
  const before = await count();
  const [, again] = await newest(2);
  await run(admin())`
    insert into events.outbox (id, type, kind, actor, outcome, data)
    values (${String(again?.['id'])}, 'access.denied.v1', 'access', '{"kind":"user"}', 'denied', '{}')`;
  await publishMany(db.pool('org'), 2);

  const sealing = await seal(db.pool('audit'), { clock: systemClock });

  expect(sealing).toMatchObject({ more: false, repeated: 1 });
  expect(await count()).toBe(before + 2);
  expect(await one(admin(), z.object({ n: z.number() }))`select count(*) as n from events.outbox`).toEqual({ n: 0 });
});

// In a process of its own: jest keeps to itself what nobody caught.
test('F14 a chunk that fails before the next one waits for it fails the sealing and not the process', async () => {
  const script = `
    import { seal } from ${JSON.stringify(new URL('./seal.ts', import.meta.url).href)};
    const event = { position: 1, id: 'x', actor: {}, data: {}, occurred_at: new Date() };
    const rows = (text) =>
      text.includes('audit.head') ? [{ seq: 0, hash: Buffer.alloc(32) }] : text.includes('events.outbox') ? [event] : [];
    const connection = {
      send: async () => ({ command: 'COMMIT' }),
      release() {},
      async query({ name, text }) {
        if (name === 'audit_move_to_log') throw new Error('gone');
        return { rows: rows(text), rowCount: 0 };
      },
    };
    const pool = { acquire: async () => connection };
    await seal(pool, { clock: () => new Date(), chunk: 1, chunksMax: 3 }).catch((error) => console.log(error.message));`;

  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);

  expect(stdout).toBe('gone\n');
});
