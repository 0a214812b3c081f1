import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { query, visitor } from '../house/house.ts';
import { type Company, company, newPassword, type Person, platformAdmin } from '../house/people.ts';
import { until } from '../house/wait.ts';
import { doubled, missingFrom, openLedger, startLoad } from './ledger.ts';
import { type Scene, startScene } from './scene.ts';

let scene: Scene;
let admin: Person;
let acme: Company;
beforeAll(async () => {
  scene = await startScene({ skip: ['mailbox', 'upstream'], settings: { SHUTDOWN_GRACE_MS: '500' } });
  admin = await platformAdmin();
  acme = await company(['owner']);
}, 90_000);
afterAll(() => scene.close(), 60_000);

test('each service, the only one of its kind, is restarted under load and away for two seconds or three: nothing fails', async () => {
  const users = openLedger();
  const renamed = openLedger();
  const read = openLedger();
  const clients = Array.from({ length: 8 }, () => visitor({ patient: false }));
  const awayMs: number[] = [];
  let longestMs = 0;
  const load = startLoad(8, 10, async (line, round) => {
    const client = clients[line] as (typeof clients)[number];
    const start = performance.now();
    const id = `away-${line}-${round}@people.test`;
    const person = { email: id, name: 'F', password: newPassword(), org_id: acme.id };
    if (line < 4) await users.record(id, () => client.as(admin.client.token).post('/api/auth/register', person));
    else if (line < 6)
      await renamed.record(id, () =>
        client.as(acme.people.owner.client.token).patch(`/api/org/${acme.id}`, { name: `Round ${round}` }),
      );
    else await read.record(id, () => client.as(acme.people.owner.client.token).get(`/api/org/${acme.id}/audit`));
    longestMs = Math.max(longestMs, performance.now() - start);
  });
  await delay(500);
  for (const name of ['auth', 'org', 'audit', 'auth']) {
    expect([name, await scene.platform.process(name).stop('SIGTERM')]).toEqual([name, 0]);
    const goneAt = performance.now();
    await delay(1_500);
    await scene.revive(name);
    awayMs.push(Math.round(performance.now() - goneAt));
    await delay(700);
  }
  await load.stop();

  const all = [users, renamed, read].flatMap(({ entries }) => entries);
  const failed = all.filter(({ fate }) => fate !== 'acknowledged');
  process.stdout.write(
    `  restarts: ${all.length} answers, ${failed.length} failed, the longest took ${Math.round(longestMs)} ms; away ${awayMs} ms\n`,
  );
  expect(failed.map(({ id, status }) => `${id} ${status}`)).toEqual([]);
  expect(users.entries.length).toBeGreaterThan(100);
  const rows = await query<{ email: string }>(`select email from auth.users where email like 'away-%'`);
  const emails = rows.map(({ email }) => email);
  expect(missingFrom(emails, users.of('acknowledged'))).toEqual([]);
  expect(doubled(emails)).toEqual([]);
}, 60_000);

test('a service that stays away is given up after five seconds, is refused at once then, and serves when it is back', async () => {
  const { owner } = acme.people;
  const ask = async () => {
    const start = performance.now();
    const { status } = await visitor({ patient: false }).as(owner.client.token).get(`/api/org/${acme.id}/audit`);
    return { status, ms: performance.now() - start };
  };
  await scene.kill('audit');

  const first = await Promise.all(Array.from({ length: 20 }, ask));
  const then = await Promise.all(Array.from({ length: 20 }, ask));

  expect(first.every(({ status, ms }) => [502, 503].includes(status) && ms < 7_000)).toBe(true);
  expect(then.every(({ status, ms }) => status === 503 && ms < 500)).toBe(true);
  expect((await owner.client.get(`/api/org/${acme.id}`)).status).toBe(200);
  await scene.revive('audit');
  await until('it serves again', 8_000, ask, ({ status }) => status === 200);
}, 30_000);
