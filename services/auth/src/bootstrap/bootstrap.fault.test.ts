import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import { eventually } from '@gatehouse/testkit/eventually';
import { identityHeaders } from '@gatehouse/testkit/identities';
import { freePort } from '@gatehouse/testkit/process';
import { client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AuthUnderTest, PASSWORD, SETTINGS, startAuth } from '../testing.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
// More than BOOT has, so that the last rounds kill nothing before its answer.
const STATEMENTS_MAX = 30;
const QUERY = 'Q'.charCodeAt(0);
const SYNC = 'S'.charCodeAt(0);

let auth: AuthUnderTest;
let proxy: Awaited<ReturnType<typeof countingProxy>>;
const children: ChildProcess[] = [];
beforeAll(async () => {
  auth = await startAuth();
  proxy = await countingProxy();
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  proxy.server.close();
  await auth.close();
});

/**
 * Stands between the process and Postgres and counts what each message of the frontend protocol ends: a statement. When
 * armed it kills before the n-th is passed on, or after the server has answered it.
 */
async function countingProxy() {
  const { host, port } = auth.database.connection('auth');
  const state = { armed: false, seen: 0, at: 0, after: false, kill: () => {} };
  const server: Server = createServer((near) => {
    const far = connect(port, host);
    let rest = Buffer.alloc(0);
    let started = false;
    let killOnAnswer = false;
    near.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        // The first message has no type; all others have one byte of it before their length.
        const head = started ? 1 : 0;
        const length = rest.length >= head + 4 ? rest.readInt32BE(head) + head : Number.POSITIVE_INFINITY;
        if (rest.length < length) return;
        const message = rest.subarray(0, length);
        rest = rest.subarray(length);
        const isStatement = started && (message[0] === QUERY || message[0] === SYNC);
        started = true;
        if (state.armed && isStatement && ++state.seen === state.at) {
          if (!state.after) return state.kill();
          killOnAnswer = true;
        }
        far.write(message);
      }
    });
    far.on('data', (chunk) => {
      if (killOnAnswer) return state.kill();
      near.write(chunk);
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, state, port: (server.address() as AddressInfo).port };
}

/** The real process, which reaches Postgres through the proxy. */
async function spawned() {
  const { database, password } = auth.database.connection('auth');
  const [own, ops] = [await freePort(), await freePort()];
  const settings = Object.fromEntries(Object.entries(SETTINGS).map(([name, value]) => [name, String(value)]));
  const env = {
    PATH: process.env['PATH'],
    ...settings,
    DATABASE_HOST: '127.0.0.1',
    DATABASE_PORT: String(proxy.port),
    DATABASE_NAME: database,
    DATABASE_TLS: 'off',
    AUTH_DATABASE_PASSWORD: password,
    AUTH_PORT: String(own),
    AUTH_OPS_PORT: String(ops),
    REDIS_URL: auth.redis.url,
  };
  const child = spawn(process.execPath, [MAIN], { env, stdio: 'ignore' });
  children.push(child);
  const ended = once(child, 'exit');
  await eventually(async () => (await fetch(`http://127.0.0.1:${ops}/readyz`)).ok, { timeoutMs: 15_000 });
  const anonymous = client(`http://127.0.0.1:${own}`, identityHeaders('auth', { kind: 'anonymous' }));
  return { child, ended, anonymous };
}

const request = {
  organization: { name: 'Acme Rockets' },
  admin: { email: 'root@acme.test', name: 'Ada Root', password: PASSWORD },
};

async function rows() {
  const [row] = await auth.rows<Record<string, number>>(`select
    (select count(*)::int from auth.users) as users,
    (select count(*)::int from org.organizations) as organizations,
    (select count(*)::int from org.members where role = 'owner') as owners,
    (select count(*)::int from auth.bootstrap) as markers,
    (select count(*)::int from events.outbox where type in
      ('auth.bootstrap_completed.v1', 'org.organization_created.v1', 'org.member_added.v1')) as events`);
  return row;
}
const NOTHING = { users: 0, organizations: 0, owners: 0, markers: 0, events: 0 };
const COMPLETE = { users: 1, organizations: 1, owners: 1, markers: 1, events: 3 };

/** Sends BOOT to a process that is killed at a statement; undefined when it was answered before that. */
async function killedAt(at: number, after: boolean): Promise<number | undefined> {
  const { child, ended, anonymous } = await spawned();
  const { state } = proxy;
  Object.assign(state, { armed: true, seen: 0, at, after, kill: () => child.kill('SIGKILL') });
  const answer = await anonymous.post('/api/bootstrap', request).catch(() => undefined);
  state.armed = false;
  child.kill('SIGKILL');
  await ended;
  return answer?.status;
}

/** What a killed process had under way is over when its connection is gone. */
async function settled(): Promise<void> {
  await eventually(
    async () => {
      const left = await auth.rows(
        `select from pg_stat_activity a
         where a.datname = current_database() and a.usename = 'gatehouse_auth' and a.state <> 'idle'`,
      );
      return left.length === 0;
    },
    { timeoutMs: 10_000 },
  );
}

test('F06 killed at each statement, bootstrap has done nothing or all of it, and the next try says which', async () => {
  const outcomes: string[] = [];
  let complete = false;
  // Before each statement, then after each: the database is the same until one of them lets the commit through.
  for (let at = 1; at <= STATEMENTS_MAX && !complete; at++)
    for (const after of [false, true]) {
      const status = await killedAt(at, after);
      await settled();
      const found = await rows();
      complete = found?.['markers'] === 1;
      expect({ at, after, found }).toEqual({ at, after, found: complete ? COMPLETE : NOTHING });
      outcomes.push(`${after ? 'after' : 'before'} ${at}: ${complete ? 'complete' : 'nothing'}`);
      // Nobody is told of a success that is not there.
      if (!complete) expect(status).toBeUndefined();
      if (complete) break;
    }

  // The kill came between the commit and its answer: the caller was told nothing, and finds the door closed.
  expect(complete).toBe(true);
  expect(outcomes.length).toBeGreaterThan(12);
  const retried = await auth.anonymous.post('/api/bootstrap', request);
  expect(retried).toMatchObject({ status: 403, body: { code: 'bootstrap.completed' } });
  const login = await auth.anonymous.post('/api/auth/login', { email: 'root@acme.test', password: PASSWORD });
  expect(login.status).toBe(200);
  expect(await rows()).toEqual(COMPLETE);
}, 120_000);
