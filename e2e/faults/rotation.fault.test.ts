import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ROOT } from '../../dev/src/platform.ts';
import type { Answer } from '../client.ts';
import { withSecondFactor } from '../house/factors.ts';
import { house, logLines, query, visitor } from '../house/house.ts';
import { type Company, company, type Person } from '../house/people.ts';
import { until } from '../house/wait.ts';
import { startLoad } from './ledger.ts';
import { type Scene, startScene } from './scene.ts';

type App = Awaited<ReturnType<typeof withSecondFactor>>['app'];

let scene: Scene;
let acme: Company;
let owner: Person;
let viewer: Person;
let app: App;
beforeAll(async () => {
  scene = await startScene({ skip: ['mailbox', 'upstream'], instances: { auth: 2, gateway: 2 } });
  acme = await company(['owner', 'viewer', 'admin']);
  ({ owner, viewer } = acme.people);
  ({ app } = await withSecondFactor(acme.people.admin));
}, 90_000);
afterAll(() => scene.close(), 60_000);

interface SignIn {
  access_token: string;
  refresh_token: string;
  challenge_token?: string;
}

/** With a code of the app, which waits for a step that was not used: for the 30 s that each one lasts. */
async function signInWithCode({ email, password }: Person): Promise<Answer<SignIn>> {
  const client = visitor({ keepAlive: false });
  const code = await app.next();
  const first = await client.post<SignIn>('/api/auth/login', { email, password });
  const { challenge_token } = first.body;
  if (!challenge_token) return first;
  return client.post<SignIn>('/api/auth/challenge/verify', { challenge_token, method: 'totp', code });
}

/** What people do while keys are replaced; every answer that is no success is kept. */
function startPeople() {
  const failures: string[] = [];
  const counts = { read: 0, login: 0, refresh: 0, code: 0 };
  const kids = new Set<string>();
  const clients = Array.from({ length: 6 }, () => visitor({ patient: false, keepAlive: false }));
  const sessions = clients.map(() => ({ access_token: '', refresh_token: '' }));

  async function answered(kind: keyof typeof counts, ask: () => Promise<Answer<unknown>>): Promise<SignIn | undefined> {
    const answer = await ask().catch((error: Error) => ({ status: 0, text: error.message, body: {} }));
    if (answer.status === 200) {
      counts[kind] += 1;
      return answer.body as SignIn;
    }
    failures.push(`${kind}: ${answer.status} ${answer.text.slice(0, 200)}`);
    return undefined;
  }

  /** A client as it should be: it refreshes before the token has expired, and reads with the newest. */
  async function live(line: number, round: number): Promise<void> {
    const session = sessions[line] as SignIn;
    const client = clients[line] as ReturnType<typeof visitor>;
    const { email, password } = viewer;
    if (!session.refresh_token || round % 20 === 0)
      Object.assign(session, await answered('login', () => client.post('/api/auth/login', { email, password })));
    else {
      const { refresh_token } = session;
      Object.assign(session, await answered('refresh', () => client.post('/api/auth/refresh', { refresh_token })));
    }
    const [header = ''] = session.access_token.split('.');
    kids.add(JSON.parse(Buffer.from(header, 'base64url').toString()).kid);
    for (const path of ['/api/auth/me', `/api/org/${acme.id}`])
      await answered('read', () => client.as(session.access_token).get(path));
  }

  const load = startLoad(6, 20, live);
  // With the token of before, all the time.
  const reader = visitor({ patient: false, keepAlive: false }).as(owner.client.token);
  const old = startLoad(1, 50, () => answered('read', () => reader.get(`/api/org/${acme.id}/members`)));
  const codes = startLoad(1, 100, () => answered('code', () => signInWithCode(acme.people.admin)));
  return { failures, counts, kids, stop: () => Promise.all([load.stop(), old.stop(), codes.stop()]) };
}

/** One instance after the other, out of nginx's sight, as a deploy does it. */
async function restartAuth(variables: Record<string, string>): Promise<void> {
  const { nginx } = scene.platform;
  const hostOf = (name: string) => new URL(scene.platform.process(name).url).host;
  for (const [half, other] of [
    ['', '-2'],
    ['-2', ''],
  ] as const) {
    await nginx?.useGateways([hostOf(`gateway${other}`)]);
    await delay(500);
    expect(await scene.platform.process(`auth${half}`).stop('SIGTERM')).toBe(0);
    await scene.revive(`auth${half}`, variables);
    await nginx?.useGateways([hostOf('gateway'), hostOf('gateway-2')]);
    await delay(300);
  }
}

async function rotateSigningKeys(): Promise<string> {
  const { settings, secretsDir } = scene.platform;
  const secrets = Object.fromEntries(
    ['AUTH_DATABASE_PASSWORD', 'JWT_SECRET'].map((name) => [`${name}_FILE`, join(secretsDir, name)]),
  );
  const { stdout } = await promisify(execFile)(process.execPath, ['dev/rotate-signing-keys.ts'], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], ...settings, ...secrets, FORCE: '1' },
  });
  return stdout;
}

const NOTHING_LEFT = 'nothing is sealed with JWT_SECRET_ALTERNATE any more';
const said = () => logLines('auth', NOTHING_LEFT).length + logLines('auth-2', NOTHING_LEFT).length;

test('F41: signing keys and JWT_SECRET are replaced under load, and nobody notices', async () => {
  const current = join(house().secretsDir, 'JWT_SECRET');
  const next = join(house().secretsDir, 'JWT_SECRET_NEXT');
  writeFileSync(next, randomBytes(36).toString('base64url'), { mode: 0o600 });
  // Left alone meanwhile: what was sealed before, and is not used before the old secret is gone.
  const sleeper = visitor();
  const { email, password } = owner;
  const asleep = await sleeper.post<SignIn>('/api/auth/login', { email, password });
  const before = await query<{ id: string; key_sealed: Buffer }>('select id, key_sealed from auth.sessions');
  const people = startPeople();
  await delay(1_000);

  expect(await rotateSigningKeys()).toMatch(/signs from now on/);
  await delay(1_000);

  await restartAuth({ JWT_SECRET_ALTERNATE_FILE: next });
  await until('nothing needs the next secret yet', 10_000, said, (count) => count >= 2);
  const saidBefore = said();
  await restartAuth({ JWT_SECRET_FILE: next, JWT_SECRET_ALTERNATE_FILE: current });
  await until('nothing needs the old secret', 20_000, said, (count) => count >= saidBefore + 2);
  await restartAuth({ JWT_SECRET_FILE: next });
  // The steps of codes are 30 s long: one more sign-in with the old secret gone.
  const { code } = people.counts;
  await until(
    'a code counts without the old secret',
    40_000,
    () => people.counts.code,
    (count) => count > code,
  );
  await people.stop();

  process.stdout.write(`  F41: ${JSON.stringify(people.counts)}, ${people.failures.length} failed\n`);
  expect(people.failures).toEqual([]);
  // The key before the rotation, and the one after it.
  expect(people.kids.size).toBe(2);
  expect(people.counts.refresh).toBeGreaterThan(100);
  expect(people.counts.code).toBeGreaterThan(1);
  const after = new Map(
    (await query<{ id: string; key_sealed: Buffer }>('select id, key_sealed from auth.sessions')).map((row) => [
      row.id,
      row.key_sealed,
    ]),
  );
  expect(before.filter(({ id, key_sealed }) => after.get(id)?.equals(key_sealed))).toEqual([]);
  const { refresh_token } = asleep.body;
  expect((await sleeper.post('/api/auth/refresh', { refresh_token })).status).toBe(200);
  expect((await sleeper.as(asleep.body.access_token).get('/api/auth/me')).status).toBe(200);
  expect(['auth', 'auth-2'].flatMap((name) => logLines(name, 'does not open'))).toEqual([]);
}, 180_000);

test('F41: with the secret that was replaced, auth refuses to start', async () => {
  await scene.kill('auth-2');
  scene.platform.process('auth-2').start();
  await expect(scene.platform.process('auth-2').ready()).rejects.toThrow(/JWT_SECRET: does not open the signing keys/);
}, 40_000);
