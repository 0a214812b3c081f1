import { createLogger } from '@gatehouse/kit/log';
import { createMetrics } from '@gatehouse/kit/metrics';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { identityHeaders, testVerifier } from '@gatehouse/testkit/identities';
import { client, listen } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createApp } from '../../services/audit/src/app.ts';
import { sealAll } from '../../services/audit/src/test-events.ts';
import type { Context } from '../src/context.ts';
import { recordDeployEvent } from '../src/smoke/record.ts';
import { runJob } from './test-job.ts';

let db: TestDatabase;
let server: Awaited<ReturnType<typeof listen>>;
beforeAll(async () => {
  db = await testDatabase();
  const log = createLogger({ service: 'audit', version: '0', environment: 'test', level: 'error' });
  const metrics = createMetrics({ version: '0', revision: '0' });
  server = await listen(createApp({ pool: db.pool('audit'), log, metrics, verifier: testVerifier('audit') }));
});
afterAll(async () => {
  await server.close();
  await db.close();
});

function run(args: readonly string[]) {
  const { host, port, database, password } = db.connection('worker');
  const env = {
    DATABASE_HOST: String(host),
    DATABASE_PORT: String(port),
    DATABASE_NAME: String(database),
    DATABASE_TLS: 'off',
    WORKER_DATABASE_PASSWORD: String(password),
  };
  return runJob('record-event.ts', env, args);
}

const context = {
  environment: 'staging',
  compose: {
    job: async (_script: string, args: readonly string[] = []) => {
      const { code, stdout, stderr } = await run(args);
      if (code !== 0) throw new Error(stderr);
      return stdout;
    },
  },
} as unknown as Context;
const recorded = async (action: string) => {
  await sealAll(db.pool('audit'));
  const admin = client(server.url, identityHeaders('audit', { role: 'admin' }));
  return (await admin.get(`/api/admin/audit?action=${action}`)).body.data;
};
const [from, to] = [
  { revision: '111111111111', colour: 'blue' },
  { revision: '222222222222', colour: 'green' },
] as const;
const by = expect.stringMatching(/./);

test('a deploy, a rollback and a restore are in the platform’s audit log, with who did it', async () => {
  await recordDeployEvent(context, { command: 'deploy', id: 'd1', from: null, to: from, backup: null });
  await recordDeployEvent(context, { command: 'deploy', id: 'd2', from, to, backup: '20261121-030000F' });
  await recordDeployEvent(context, { command: 'rollback', id: 'd3', from: to, to: from, reason: 'errors after it' });
  await recordDeployEvent(context, { command: 'restore', backup: '20261121-030000F', at: '2026-11-21T03:00:00+00:00' });

  const [second, first] = await recorded('platform.deployed.v1');
  expect(first.data).toEqual({
    deploy_id: 'd1',
    environment: 'staging',
    by,
    host: by,
    from: null,
    to: from,
    backup: null,
  });
  expect(second).toMatchObject({
    kind: 'admin_action',
    org_id: null,
    actor: { kind: 'service', id: null },
    agent: 'deploy',
    target: { type: 'deployment', id: 'staging' },
    data: { deploy_id: 'd2', from, to, backup: '20261121-030000F' },
  });
  expect((await recorded('platform.rolled_back.v1'))[0].data).toMatchObject({
    from: to,
    to: from,
    reason: 'errors after it',
  });
  expect((await recorded('platform.restored.v1'))[0].data).toMatchObject({ backup: '20261121-030000F' });
});

test('anything else is refused, and nothing is recorded', async () => {
  const good = { environment: 'staging', by: 'ada', host: 'h', backup: 'b', at: null };
  const calls = [
    ['auth.bootstrap_completed.v1', good],
    ['platform.restored.v1', { ...good, more: 1 }],
    ['platform.restored.v1', null],
  ] as const;
  const before = await db.pool('admin').pg.query('select count(*) from events.outbox');
  for (const [type, data] of calls) expect((await run([type, JSON.stringify(data)])).code).not.toBe(0);
  expect((await db.pool('admin').pg.query('select count(*) from events.outbox')).rows).toEqual(before.rows);
});
