import { EVENTS } from '@gatehouse/contracts/events';
import type { Actor } from '@gatehouse/kit/actor';
import { newId } from '@gatehouse/kit/ids';
import { createLogger } from '@gatehouse/kit/log';
import { createMetrics } from '@gatehouse/kit/metrics';
import { publish } from '@gatehouse/kit/outbox';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { identityHeaders, testVerifier } from '@gatehouse/testkit/identities';
import { type Client, client, type Listening, listen } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createApp } from '../app.ts';
import { sealAll, testActor } from '../test-events.ts';
import { HISTORY } from './history.ts';

let db: TestDatabase;
let server: Listening;
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

const PATH = '/api/auth/login-history';
const as = (user_id: string, role: 'user' | 'guest' = 'user'): Client =>
  client(server.url, identityHeaders('audit', { sub: user_id, role }));
const stranger = (overrides: Partial<Actor> = {}): Actor => ({
  kind: 'anonymous',
  request_id: 'r1',
  trace_id: 't1',
  address: '198.51.100.9',
  agent: 'curl/8',
  ...overrides,
});

async function signIn(user_id: string, session_id = newId()): Promise<string> {
  const target = { type: 'user', id: user_id };
  const actor = testActor({ user_id, session_id });
  await publish(
    db.pool('auth'),
    actor,
    'auth.login_succeeded.v1',
    { user_id, session_id, method: 'password' },
    { target },
  );
  return session_id;
}

async function guess(user_id: string | undefined, actor = stranger()): Promise<void> {
  const data = { account: 'label', ...(user_id ? { user_id } : {}), reason: 'wrong_password' as const };
  await publish(db.pool('auth'), actor, 'auth.login_failed.v1', data, { outcome: 'failure' });
}

async function endSession(actor: Actor, user_id: string, session_id: string): Promise<void> {
  const data = { user_id, session_id, reason: 'user' as const };
  await publish(db.pool('auth'), actor, 'auth.session_revoked.v1', data, {
    target: { type: 'session', id: session_id },
  });
}

test('a user sees the own sign-ins, guesses at the account and ended sessions, and nothing of others', async () => {
  const [vera, other] = [newId(), newId()];
  const session_id = await signIn(vera);
  await signIn(other);
  await guess(vera);
  await guess(other);
  await guess(undefined);
  const actor = testActor({ user_id: vera, session_id });
  await publish(
    db.pool('auth'),
    actor,
    'auth.logout.v1',
    { user_id: vera, session_id },
    { target: { type: 'session', id: session_id } },
  );
  // About the account as well, but no sign-in; and one of another service that happens to name the user.
  await publish(db.pool('auth'), actor, 'auth.email_verified.v1', { user_id: vera }, {});
  await publish(
    db.pool('org'),
    testActor(),
    'org.member_added.v1',
    { user_id: vera, role: 'viewer' },
    { org_id: newId() },
  );
  await sealAll(db.pool('audit'));

  const { status, body } = await as(vera).get(PATH);
  expect(status).toBe(200);
  expect(body.next_cursor).toBeNull();
  expect(body.data).toEqual([
    expect.objectContaining({ action: 'auth.logout.v1', outcome: 'success', session_id }),
    {
      id: expect.any(String),
      action: 'auth.login_failed.v1',
      outcome: 'failure',
      at: expect.stringMatching(/Z$/),
      address: '198.51.100.9',
      agent: 'curl/8',
      method: null,
      session_id: null,
      device_id: null,
      reason: 'wrong_password',
    },
    expect.objectContaining({
      action: 'auth.login_succeeded.v1',
      method: 'password',
      session_id,
      address: '203.0.113.7',
    }),
  ]);
  // What was guessed at is told by no label, and nothing of the record's inside.
  expect(JSON.stringify(body)).not.toMatch(/label|"data":\{|seq|hash/);
});

test('a guest may read it; nobody, an API key and another query may not', async () => {
  const guest = newId();
  await signIn(guest);
  await sealAll(db.pool('audit'));
  expect((await as(guest, 'guest').get(PATH)).body.data).toHaveLength(1);
  expect((await client(server.url).get(PATH)).status).toBe(401);
  expect((await client(server.url, identityHeaders('audit', { kind: 'anonymous' })).get(PATH)).status).toBe(401);
  expect((await client(server.url, identityHeaders('audit', { kind: 'api_key' })).get(PATH)).status).toBe(403);
  for (const query of [`user_id=${guest}`, 'kind=access', 'limit=0', 'limit=101', 'cursor=x', 'actor=x'])
    expect([query, (await as(newId()).get(`${PATH}?${query}`)).status]).toEqual([query, 400]);
  expect((await as(newId()).get(PATH)).body).toEqual({ data: [], next_cursor: null });
});

test('pages show each event once, also when more arrive; a cursor is good for its owner only', async () => {
  const vera = newId();
  for (let n = 0; n < 7; n++) await signIn(vera);
  await sealAll(db.pool('audit'));
  const whole = (await as(vera).get(PATH)).body.data.map(({ id }: { id: string }) => id);

  const first = (await as(vera).get(`${PATH}?limit=3`)).body;
  await signIn(vera);
  await sealAll(db.pool('audit'));
  const second = (await as(vera).get(`${PATH}?limit=3&cursor=${first.next_cursor}`)).body;
  const third = (await as(vera).get(`${PATH}?limit=3&cursor=${second.next_cursor}`)).body;

  expect([...first.data, ...second.data, ...third.data].map(({ id }) => id)).toEqual(whole);
  expect(third.next_cursor).toBeNull();
  expect((await as(newId()).get(`${PATH}?cursor=${first.next_cursor}`)).status).toBe(400);
});

test('where an administrator sits who ends a session is not told', async () => {
  const vera = newId();
  const session_id = await signIn(vera);
  await endSession(testActor({ address: '192.0.2.1', agent: 'Admin' }), vera, session_id);
  await sealAll(db.pool('audit'));

  const [ended] = (await as(vera).get(PATH)).body.data;
  expect(ended).toMatchObject({ action: 'auth.session_revoked.v1', session_id, address: null, agent: null });
});

test('an organization sees no sign-in of its members, also of those whose requests name it', async () => {
  const [vera, org] = [newId(), newId()];
  const session_id = newId();
  const inOrg = { id: org, role: 'viewer', permissions: [], plan: 'free' } as const;
  const actor = testActor({ user_id: vera, session_id, org: { ...inOrg, permissions: [] } });
  const data = { user_id: vera, session_id };
  await publish(db.pool('auth'), actor, 'auth.login_succeeded.v1', { ...data, method: 'password' }, {});
  await publish(db.pool('auth'), actor, 'auth.logout.v1', data, { target: { type: 'session', id: session_id } });
  await guess(vera, stranger({ org: { ...inOrg, permissions: [] } }));
  await sealAll(db.pool('audit'));

  const owner = client(server.url, identityHeaders('audit', { org: { id: org, role: 'owner' } }));
  expect((await owner.get(`/api/org/${org}/audit`)).body.data).toEqual([]);
  expect((await as(vera).get(PATH)).body.data).toHaveLength(3);
});

test('refused refresh tokens, which whoever has an old one can send without end, do not bury the rest', async () => {
  const vera = newId();
  const session_id = await signIn(vera);
  for (let n = 0; n < 5; n++)
    await publish(db.pool('auth'), stranger(), 'auth.refresh_refused.v1', {
      user_id: vera,
      session_id,
      reason: 'ended',
    });
  await sealAll(db.pool('audit'));

  expect((await as(vera).get(PATH)).body.data).toHaveLength(1);
  const { rows } = await db.pool('admin').pg.query('select from audit.account_events where user_id = $1', [vera]);
  expect(rows).toHaveLength(1);
});

test('every event of the history says whose account it is about', () => {
  for (const type of HISTORY) {
    const { kind, data } = EVENTS[type];
    expect([type, kind, 'user_id' in data.shape]).toEqual([type, 'security', true]);
  }
});

test('S123: the index of account events is as append-only as the log, and the sealer is the only one who adds to it', async () => {
  const vera = newId();
  await signIn(vera);
  await sealAll(db.pool('audit'));
  const attempts = [
    `update audit.account_events set user_id = '${newId()}'`,
    'delete from audit.account_events',
    'truncate audit.account_events',
  ];
  for (const role of ['auth', 'org', 'audit', 'worker', 'gateway', 'migrator', 'admin'] as const)
    for (const attempt of attempts)
      await expect(db.pool(role).pg.query(attempt)).rejects.toMatchObject({ code: '42501' });
  for (const role of ['auth', 'org', 'audit', 'worker', 'gateway'] as const)
    await expect(
      db.pool(role).pg.query('insert into audit.account_events values ($1, now(), 1)', [vera]),
    ).rejects.toMatchObject({ code: '42501' });
  for (const role of ['auth', 'org', 'worker', 'gateway'] as const)
    await expect(db.pool(role).pg.query('select from audit.account_events')).rejects.toMatchObject({ code: '42501' });
});
