import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Answer, Client } from '../client.ts';
import { visitor } from '../house/house.ts';
import { type Company, company, newKey, type Person } from '../house/people.ts';
import { plain } from '../house/plain.ts';
import { startLoad } from './ledger.ts';
import { type Scene, startScene } from './scene.ts';

let scene: Scene;
let acme: Company;
let owner: Person;
let key: string;
beforeAll(async () => {
  scene = await startScene({ skip: ['mailbox'], instances: { auth: 2, org: 2, audit: 2, gateway: 2, worker: 2 } });
  acme = await company(['owner', 'viewer']);
  owner = acme.people.owner;
  key = (await newKey(owner, acme.id)).key;
}, 90_000);
afterAll(() => scene.close(), 60_000);

const SERVICES = ['auth', 'org', 'audit', 'worker'];
const hostOf = (name: string) => new URL(scene.platform.process(name).url).host;

/** A mix of what people and machines do; every answer that is no success is kept. */
function mixedLoad(failures: string[], counted: { answers: number }) {
  const { viewer } = acme.people;
  // nginx closes idle connections when it is reloaded, and a request may just be on its way on one: a client sends that
  // again by itself. On a connection of its own every reset is a request that the house has lost.
  const clients = Array.from({ length: 4 }, () => visitor({ patient: false, keepAlive: false }));
  const kinds: ((client: Client, round: number) => Promise<Answer<unknown>>)[] = [
    (client) => client.as(owner.client.token).get(`/api/org/${acme.id}/members`),
    (client) => client.get('/api/proxy/example/x', { 'x-api-key': key }),
    (client, round) => client.as(owner.client.token).patch(`/api/org/${acme.id}`, { name: `Round ${round}` }),
    // Somebody else's: a person keeps twenty sessions, and the oldest ends.
    (client) => client.post('/api/auth/login', { email: viewer.email, password: viewer.password }),
  ];
  return startLoad(4, 15, async (line, round) => {
    const kind = kinds[line] as (typeof kinds)[number];
    const what = await kind(clients[line] as Client, round).then(
      ({ status }) => status,
      (error: NodeJS.ErrnoException) => error.code ?? error.message,
    );
    counted.answers += 1;
    if (typeof what !== 'number' || what >= 300) failures.push(`line ${line}: ${what}`);
  });
}

test('F07: both halves of the house are rolled under load, and nobody notices', async () => {
  const { platform } = scene;
  const nginx = platform.nginx;
  if (!nginx) throw new Error('no nginx');
  const failures: string[] = [];
  const counted = { answers: 0 };
  const exits: [string, number | null, number][] = [];
  const load = mixedLoad(failures, counted);
  await delay(500);

  for (const [old, other] of [
    ['', '-2'],
    ['-2', ''],
  ] as const) {
    // As a deploy does it: nginx sends new requests to the other half, then the gateway ends, then its services.
    await nginx.useGateways([hostOf(`gateway${other}`)]);
    for (const group of [['gateway'], SERVICES]) {
      await Promise.all(
        group.map(async (name) => {
          const start = performance.now();
          const code = await platform.process(`${name}${old}`).stop('SIGTERM');
          exits.push([`${name}${old}`, code, Math.round(performance.now() - start)]);
        }),
      );
    }
    await Promise.all(SERVICES.map((name) => scene.revive(`${name}${old}`)));
    await scene.revive(`gateway${old}`);
    await nginx.useGateways([hostOf('gateway'), hostOf('gateway-2')]);
    await delay(500);
  }
  await load.stop();

  process.stdout.write(
    `  F07: ${counted.answers} answers, ${failures.length} failed; exits ${JSON.stringify(exits)}\n`,
  );
  expect(failures).toEqual([]);
  expect(counted.answers).toBeGreaterThan(150);
  for (const [name, code, ms] of exits) expect([name, code, ms < 25_000]).toEqual([name, 0, true]);
}, 60_000);

test('F07: a gateway that is told to end finishes what it has begun, and nginx asks the other one', async () => {
  const failures: string[] = [];
  const counted = { answers: 0 };
  const load = startLoad(4, 5, async () => {
    const status = await owner.client.get(`/api/org/${acme.id}`).then(
      (answer) => answer.status,
      (error: Error) => error.message,
    );
    counted.answers += 1;
    if (status !== 200) failures.push(String(status));
  });
  await delay(300);
  expect(await scene.platform.process('gateway-2').stop('SIGTERM')).toBe(0);
  await delay(300);
  await scene.revive('gateway-2');
  await delay(2500);
  await load.stop();
  expect(failures).toEqual([]);
  expect(counted.answers).toBeGreaterThan(200);
}, 30_000);

test('F10: a connection that lay idle for five seconds is as good as a new one', async () => {
  const clients = Array.from({ length: 20 }, () => visitor({ patient: false }).as(owner.client.token));
  const post = (client: Client) => client.patch(`/api/org/${acme.id}`, { name: 'Idle' }).then(({ status }) => status);
  const statuses = await Promise.all(clients.map(post));
  for (const pauseMs of [4900, 5000, 5100]) {
    await delay(pauseMs);
    statuses.push(...(await Promise.all(clients.map(post))));
  }
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
}, 30_000);

test('F10: on every way the side that sends closes an idle connection before the side that answers', async () => {
  const names = ['gateway', 'auth', 'org', 'audit', 'worker'];
  for (const name of names) {
    // nginx keeps connections for 60 s (site.conf), the gateway its own for less.
    const answer = await plain(`${scene.platform.process(name).url}/health`, { headers: { connection: 'keep-alive' } });
    const seconds = Number(/timeout=(\d+)/.exec(String(answer.headers['keep-alive']))?.[1]);
    expect([name, seconds > 60]).toEqual([name, true]);
  }
});
