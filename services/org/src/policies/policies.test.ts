import { newId } from '@gatehouse/kit/ids';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startOrg, type TestOrg, type TestOrganization } from '../testing.ts';

let org: TestOrg;
beforeAll(async () => {
  org = await startOrg({ instances: 2 });
});
afterAll(() => org.close());

const path = ({ id }: TestOrganization) => `/api/org/${id}/policies`;
const NONE = { require_second_factor: false, allowed_domains: [], session_max_seconds: null, retention_days: null };
const now = () => Math.floor(Date.now() / 1000);
const codes = (answers: { status: number; body: { code?: string } | undefined }[]) =>
  answers.map(({ status, body }) => `${status} ${body?.code ?? ''}`.trim());

test('what is named changes, the rest stays; the event has old and new, and the guard tells the gateway', async () => {
  const acme = await org.found();
  const client = org.member(acme, 'admin');
  expect((await client.get(path(acme))).body).toEqual(NONE);
  await org.gateway().get(`/internal/guard/${acme.id}/${acme.members.viewer}`);

  const first = await client.patch(path(acme), { require_second_factor: true, session_max_seconds: 3600 });
  const second = await client.patch(path(acme), { session_max_seconds: null, retention_days: 30 });

  expect(first.body).toEqual({ ...NONE, require_second_factor: true, session_max_seconds: 3600 });
  expect(second.body).toEqual({ ...NONE, require_second_factor: true, retention_days: 30 });
  expect((await client.get(path(acme))).body).toEqual(second.body);
  expect((await org.events(acme.id)).at(-1)).toMatchObject({
    type: 'org.policies_changed.v1',
    kind: 'security',
    actor: { user_id: acme.members.admin },
    data: { old: first.body, new: second.body },
  });
  expect(await org.redis.client.get(`fact:org:${acme.id}`)).toBe('');
  const guard = await org.gateway().get(`/internal/guard/${acme.id}/${acme.members.viewer}`);
  expect(guard.body.org).toMatchObject({ second_factor_required: true, session_max_seconds: null });
});

test('of two changes of different policies at the same time both stand', async () => {
  for (let round = 0; round < 10; round++) {
    const acme = await org.found();
    const changes = [{ session_max_seconds: 900 }, { retention_days: 90 }];
    await Promise.all(
      changes.map((change, i) => org.member(acme, 'owner', org.instances[i]).patch(path(acme), change)),
    );
    const { body } = await org.member(acme, 'owner').get(path(acme));
    expect(body).toEqual({ ...NONE, session_max_seconds: 900, retention_days: 90 });
  }
});

test('who asks a second factor of everyone signed in with one; switching it off takes none', async () => {
  const acme = await org.found();
  const without = org.as({ sub: acme.members.owner, amr: ['pwd'], org: { id: acme.id, role: 'owner' } });
  const refused = await without.patch(path(acme), { require_second_factor: true });
  expect(codes([refused])).toEqual(['403 auth.second_factor_required']);
  expect(refused.body.proof).toMatchObject({ post: '/api/auth/reauthenticate', second_factor: true });
  expect((await without.get(path(acme))).body).toEqual(NONE);
  expect((await without.patch(path(acme), { require_second_factor: false })).status).toBe(200);
  expect((await org.member(acme, 'owner').patch(path(acme), { require_second_factor: true })).status).toBe(200);
  expect((await without.patch(path(acme), { retention_days: 60 })).body.require_second_factor).toBe(true);
});

test('S054: a change takes a fresh proof', async () => {
  const acme = await org.found();
  const client = (auth_time: number) =>
    org.as({ sub: acme.members.owner, auth_time, org: { id: acme.id, role: 'owner' } });
  const answers = [
    await client(now() - 660).patch(path(acme), { retention_days: 60 }),
    await client(now() - 540).patch(path(acme), { retention_days: 60 }),
  ];
  expect(codes(answers)).toEqual(['403 auth.reauth_required', '200']);
});

describe('mail domains', () => {
  test('they are normalised once, and spelt twice they count once', async () => {
    const acme = await org.found();
    const allowed_domains = [' Users.TEST ', 'users.test', 'Bücher.test', 'ｕｓｅｒｓ.test'];
    const { status, body } = await org.member(acme, 'owner').patch(path(acme), { allowed_domains });
    expect([status, body.allowed_domains]).toEqual([200, ['users.test', 'xn--bcher-kva.test']]);
  });

  test('an address of exactly such a domain is invited, and no other', async () => {
    const acme = await org.found();
    await org.member(acme, 'owner').patch(path(acme), { allowed_domains: ['users.test', 'Bücher.test'] });
    const invite = (email: string) =>
      org.member(acme, 'owner').post(`/api/org/${acme.id}/invitations`, { email, role: 'viewer' });
    const answers = [];
    for (const domain of [
      'users.test',
      'USERS.test',
      'bücher.test',
      'sub.users.test',
      'xusers.test',
      'users.test.evil.test',
    ])
      answers.push(await invite(`${newId()}@${domain}`));
    expect(codes(answers)).toEqual([...Array(3).fill('201'), ...Array(3).fill('403 org.domain_refused')]);
  });

  test('and is admitted by who may, through the door of auth', async () => {
    const acme = await org.found();
    await org.member(acme, 'owner').patch(path(acme), { allowed_domains: ['users.test'] });
    const [inside, outside] = [await org.person(), await org.person({ email: `${newId()}@other.test` })];
    const admit = (user: string) =>
      org.database
        .pool('auth')
        .pg.query(`select org.admit_user($1, false, $2, $3, 'viewer')`, [acme.members.admin, acme.id, user]);
    await admit(inside.id);
    await expect(admit(outside.id)).rejects.toMatchObject({ code: 'GH422' });
  });
});

test.each([
  ['nothing', {}],
  ['an unknown policy', { require_password: true }],
  ['a status', { retention_days: 60, status: 'active' }],
  ['a word for a switch', { require_second_factor: 'true' }],
  ['null for a switch', { require_second_factor: null }],
  ['a short session', { session_max_seconds: 899 }],
  ['a long session', { session_max_seconds: 30 * 86_400 + 1 }],
  ['a fraction', { session_max_seconds: 1000.5 }],
  ['a number as text', { session_max_seconds: '3600' }],
  ['1e309', '{"session_max_seconds":1e309}'],
  ['a short retention', { retention_days: 29 }],
  ['a long retention', { retention_days: 3651 }],
  ['no list', { allowed_domains: 'users.test' }],
  ['a wildcard', { allowed_domains: ['*.users.test'] }],
  ['an address', { allowed_domains: ['ada@users.test'] }],
  ['one label', { allowed_domains: ['localhost'] }],
  ['an IP address', { allowed_domains: ['[127.0.0.1]'] }],
  ['a blank', { allowed_domains: ['users .test'] }],
  ['NUL', { allowed_domains: ['users\u0000.test'] }],
  ['nothing in the list', { allowed_domains: [''] }],
  ['too many', { allowed_domains: Array.from({ length: 51 }, (_, i) => `d${i}.test`) }],
  ['__proto__', '{"__proto__":{"require_second_factor":true}}'],
])('S117: %s is refused', async (_, body) => {
  const acme = await org.found();
  expect((await org.member(acme, 'owner').patch(path(acme), body)).status).toBe(400);
  expect((await org.member(acme, 'owner').get(path(acme))).body).toEqual(NONE);
});

test('a deleted organization has no policies to read, a suspended one none to change', async () => {
  const acme = await org.found();
  await org.platformAdmin().patch(`/api/platform/organizations/${acme.id}`, { status: 'suspended', reason: 'test' });
  expect(codes([await org.member(acme, 'owner').patch(path(acme), { retention_days: 60 })])).toEqual([
    '403 org.suspended',
  ]);
  await org.rows(`update org.organizations set status = 'deleted', deleted_at = now() where id = $1`, [acme.id]);
  expect(codes([await org.member(acme, 'owner').get(path(acme))])).toEqual(['404 org.not_found']);
});
