import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { createMetrics } from '@gatehouse/kit/metrics';
import { startSentry, stopSentry } from '@gatehouse/kit/sentry';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { eventually } from '@gatehouse/testkit/eventually';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { oweMail, quietLog } from '../test-worker.ts';
import { jobMetrics } from './job-metrics.ts';
import { createRunner } from './runner.ts';

let db: TestDatabase;
let listener: Server;
const envelopes: string[] = [];

beforeAll(async () => {
  db = await testDatabase();
  listener = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks);
    envelopes.push((req.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw).toString());
    res.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as AddressInfo;
  const dsn = `http://0123456789abcdef0123456789abcdef@127.0.0.1:${port}/1`;
  await startSentry({
    ...{ dsn, service: 'worker', release: '0', environment: 'test' },
    ...{ tracesSampleRate: 0, profilesSampleRate: 0 },
  });
});
afterAll(async () => {
  await stopSentry();
  listener.closeAllConnections();
  listener.close();
  await db.close();
});

test('a dead job is reported once, by its code, without whom the mail was to and what it carried', async () => {
  const { id, to, token } = await oweMail(db.pool('auth'));
  const pool = db.pool('worker');
  const clock = () => new Date();
  const metrics = jobMetrics(createMetrics({ version: '0', revision: '0' }), pool, clock);
  const refusal = () =>
    Promise.reject(Object.assign(new Error(`550 no such user <${to}> ${token}`), { code: 'EENVELOPE' }));
  const retryDelaysMs = [1, 1];
  const run = createRunner({ pool, clock, log: quietLog, metrics, retryDelaysMs, handlers: { 'mail.send': refusal } });

  for (let attempt = 0; attempt < 5; attempt++) await run({ data: { id } }).catch(() => undefined);

  const reports = await eventually(() => {
    const found = envelopes.filter((envelope) => envelope.includes('mail.send is dead'));
    return found.length > 0 ? found : undefined;
  });
  expect(reports).toHaveLength(1);
  expect(reports[0]).toContain('mail.send is dead: EENVELOPE');
  for (const hidden of [to, token]) expect(envelopes.join()).not.toContain(hidden);
});
