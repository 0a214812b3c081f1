import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { ROOT } from '../../dev/src/platform.ts';
import type { Client } from '../client.ts';
import { query, visitor } from '../house/house.ts';
import { type Company, company, newPassword, type Person, platformAdmin, signedIn } from '../house/people.ts';
import { until } from '../house/wait.ts';
import { doubled, missingFrom, openLedger, startLoad } from './ledger.ts';
import { type Scene, startScene } from './scene.ts';

let scene: Scene;
let admin: Person;
let acme: Company;
beforeAll(async () => {
  scene = await startScene({ skip: ['mailbox', 'upstream'] });
  admin = await platformAdmin();
  acme = await company(['owner', 'viewer']);
}, 90_000);
afterAll(() => scene.close(), 60_000);

/** Events of a kind, sealed or not yet. */
const eventsOf = (type: string) =>
  query<{ id: string; target: string | null; data: Record<string, string> }>(
    `select id, target_id as target, data from audit.log where type = $1
     union all select id, target_id, data from events.outbox where type = $1`,
    [type],
  );

test('F01: auth killed under load: what it acknowledged is there, nothing is half, and it is back in seconds', async () => {
  const users = openLedger();
  const logins = openLedger();
  const refused: number[] = [];
  const { email, password } = acme.people.viewer;
  // Of somebody who does not sign in below: a person keeps twenty sessions, and the oldest ends.
  const sessions = await Promise.all(Array.from({ length: 2 }, () => signedIn(acme.people.owner)));
  const clients = sessions.map(() => visitor({ patient: false }));

  const load = startLoad(4, 20, async (line, round) => {
    const client = clients[line % 2] as Client;
    if (line < 2) {
      const person = { email: `f01-${line}-${round}@people.test`, name: 'F', password: newPassword(), org_id: acme.id };
      await users.record(person.email, () => admin.client.post('/api/auth/register', person));
      await logins.record(`${line}-${round}`, () => client.post('/api/auth/login', { email, password }));
      return;
    }
    // A client that lost the answer to a refresh tries again with what it has.
    const session = sessions[line - 2] as Person;
    const answer = await client
      .post<{ refresh_token: string }>('/api/auth/refresh', { refresh_token: session.refreshToken })
      .catch(() => undefined);
    if (answer?.status === 200) session.refreshToken = answer.body.refresh_token;
    else if (answer && answer.status < 500) refused.push(answer.status);
  });
  const backMs: number[] = [];
  for (let kills = 0; kills < 3; kills++) {
    await delay(700 + Math.random() * 500);
    await scene.kill('auth');
    const start = performance.now();
    await scene.revive('auth');
    await until('a sign-in works again', 5000, () => visitor().post('/api/auth/login', { email, password }), is(200));
    backMs.push(Math.round(performance.now() - start));
  }
  await delay(500);
  await load.stop();

  expect(Math.max(...backMs)).toBeLessThan(5000);
  // No session died of a lost answer.
  expect(refused).toEqual([]);
  expect(users.of('acknowledged').length).toBeGreaterThan(20);
  expect(users.of('unknown').length + users.of('refused').length).toBeGreaterThan(0);
  const rows = await query<{ email: string; member: boolean; id: string }>(
    `select u.email, u.id, exists (select from org.members m where m.user_id = u.id and m.org_id = $1) as member
     from auth.users u where u.email like 'f01-%'`,
    [acme.id],
  );
  const emails = rows.map((row) => row.email);
  expect(missingFrom(emails, users.of('acknowledged'))).toEqual([]);
  expect(users.of('refused').filter((email) => emails.includes(email))).toEqual([]);
  expect(doubled(emails)).toEqual([]);
  // Whatever is there is whole: user, membership and event, also where the answer was lost.
  expect(rows.filter(({ member }) => !member)).toEqual([]);
  const events = (await eventsOf('auth.user_registered.v1')).map(({ data }) => data['user_id'] as string);
  expect(
    missingFrom(
      events,
      rows.map(({ id }) => id),
    ),
  ).toEqual([]);
  expect(doubled(events)).toEqual([]);
  const signIns = (await eventsOf('auth.login_succeeded.v1')).length;
  expect(signIns).toBeGreaterThanOrEqual(logins.of('acknowledged').length);
  report('F01', { users, logins }, { 'back after ms': backMs });
}, 40_000);

test('F02: org killed under load: a change and its event are there together or not at all', async () => {
  const keys = openLedger();
  const roles = openLedger();
  const path = `/api/org/${acme.id}`;
  const { viewer } = acme.people;
  // A small plan has fewer keys than this makes.
  await query(`update org.organizations set plan = 'enterprise' where id = $1`, [acme.id]);
  const load = startLoad(3, 15, async (line, round) => {
    if (line < 2) {
      const name = `f02-${line}-${round}`;
      await keys.record(name, () => acme.people.owner.client.post(`${path}/api-keys`, { name }));
    } else {
      const role = round % 2 === 0 ? 'analyst' : 'billing';
      await roles.record(role, () => admin.client.patch(`${path}/members/${viewer.id}`, { role }));
    }
  });
  for (let kills = 0; kills < 3; kills++) {
    await delay(700 + Math.random() * 500);
    await scene.kill('org');
    await scene.revive('org');
  }
  await delay(500);
  await load.stop();

  const rows = await query<{ id: string; name: string }>(`select id, name from org.api_keys where name like 'f02-%'`);
  const names = rows.map(({ name }) => name);
  expect(keys.of('acknowledged').length).toBeGreaterThan(20);
  expect(missingFrom(names, keys.of('acknowledged'))).toEqual([]);
  expect(keys.of('refused').filter((name) => names.includes(name))).toEqual([]);
  expect(doubled(names)).toEqual([]);
  const created = (await eventsOf('org.api_key_created.v1')).filter(({ data }) => data['name']?.startsWith('f02-'));
  expect(created.map(({ data }) => data['key_id']).sort()).toEqual(rows.map(({ id }) => id).sort());

  const changes = (await eventsOf('org.member_role_changed.v1')).filter(({ data }) => data['user_id'] === viewer.id);
  const [member] = await query<{ role: string }>('select role from org.members where org_id = $1 and user_id = $2', [
    acme.id,
    viewer.id,
  ]);
  const lost = roles.of('unknown').length;
  // Each acknowledged change is one event; one whose answer was lost is one or none.
  expect(changes.length).toBeGreaterThanOrEqual(roles.of('acknowledged').length - lost);
  expect(changes.length).toBeLessThanOrEqual(roles.of('acknowledged').length + lost);
  const last = roles.entries.findLast(({ fate }) => fate === 'acknowledged');
  expect(['analyst', 'billing']).toContain(member?.role);
  if (roles.entries.at(-1) === last) expect(member?.role).toBe(last?.id);
  report('F02', { keys, roles });
}, 40_000);

test('F03: audit killed at five hundred events a second: none lost, none twice, and the chain verifies', async () => {
  const { platform } = scene;
  const { DATABASE_PORT, DATABASE_NAME } = platform.settings;
  const writer = new pg.Pool({
    host: '127.0.0.1',
    port: Number(DATABASE_PORT),
    database: DATABASE_NAME,
    user: 'gatehouse_org',
    password: platform.databasePasswords.org,
    max: 4,
  });
  const acknowledged: string[] = [];
  const marker = `f03-${randomBytes(4).toString('hex')}`;
  const load = startLoad(4, 30, async () => {
    const ids = Array.from({ length: 18 }, () => randomUUID());
    await writer.query(
      `insert into events.outbox (id, type, kind, actor, outcome, request_id, data)
       select id, 'org.member_left.v1', 'change', '{"kind":"service"}', 'success', $2, '{}' from unnest($1::uuid[]) as id`,
      [ids, marker],
    );
    acknowledged.push(...ids);
  });
  const start = performance.now();
  for (let kills = 0; kills < 3; kills++) {
    await delay(700 + Math.random() * 500);
    await scene.kill('audit');
    await scene.revive('audit');
  }
  await load.stop();
  const rate = Math.round((acknowledged.length * 1000) / (performance.now() - start));
  await writer.end();

  await until(
    'everything is sealed',
    15_000,
    () => query('select id from events.outbox limit 1'),
    (rows) => rows.length === 0,
  );
  const sealed = await query<{ id: string }>('select id from audit.log where request_id = $1', [marker]);
  expect(sealed.map(({ id }) => id).sort()).toEqual(acknowledged.sort());
  expect(await verifiedChain()).toMatch(/chain intact/);
  process.stdout.write(`  F03: ${acknowledged.length} events at ${rate}/s, all sealed once\n`);
}, 60_000);

async function verifiedChain(): Promise<string> {
  const { settings, databasePasswords } = scene.platform;
  const env = { PATH: process.env['PATH'], ...settings, AUDIT_DATABASE_PASSWORD: databasePasswords.audit };
  const { stdout } = await promisify(execFile)(process.execPath, ['services/audit/src/verify.ts'], { cwd: ROOT, env });
  return stdout;
}

const is =
  (status: number) =>
  (answer: { status: number }): boolean =>
    answer.status === status;

function report(
  name: string,
  ledgers: Record<string, ReturnType<typeof openLedger>>,
  more: Record<string, unknown> = {},
) {
  const counts = Object.entries(ledgers).map(
    ([what, ledger]) =>
      `${what} ${ledger.of('acknowledged').length} acknowledged, ${ledger.of('refused').length} refused, ${ledger.of('unknown').length} unknown`,
  );
  process.stdout.write(`  ${name}: ${counts.join('; ')} ${Object.keys(more).length > 0 ? JSON.stringify(more) : ''}\n`);
}
