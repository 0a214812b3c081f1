import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type AuthUnderTest, PASSWORD, SETTINGS, startAuth } from '../../services/auth/src/testing.ts';
import { addressOf, tenantOf } from '../src/smoke/tenant.ts';
import { stepAt, totp } from '../src/smoke/totp.ts';
import { runJob } from './test-job.ts';

const SECRET = 'Zr8Tn5Wb7Hc4Jd6Fg1Ps0Ak3Yq9vLx2m';
const tenant = tenantOf(SECRET);

let auth: AuthUnderTest;
beforeEach(async () => {
  auth = await startAuth();
});
afterEach(() => auth.close());

async function job(over: Record<string, string> = {}) {
  const { host, port, database, password } = auth.database.connection('auth');
  const { code, stdout, stderr } = await runJob('synthetic.ts', {
    DATABASE_HOST: String(host),
    DATABASE_PORT: String(port),
    DATABASE_NAME: String(database),
    DATABASE_TLS: 'off',
    AUTH_DATABASE_PASSWORD: String(password),
    SYNTHETIC_PASSWORD: SECRET,
    JWT_SECRET: SETTINGS.JWT_SECRET,
    PASSWORD_PEPPER: SETTINGS.PASSWORD_PEPPER,
    PASSWORD_SCHEME: 'bcrypt',
    BCRYPT_COST: '4',
    SECOND_FACTOR_REQUIRED_FOR: 'nobody',
    ENVIRONMENT: 'development',
    ...over,
  });
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as { org_id: string; founded: boolean; renewed: number; removed: number };
}

const login = (email = tenant.owner.email, password = SECRET) =>
  auth.anonymous.post('/api/auth/login', { email, password });
const members = () =>
  auth.rows<{ user_id: string; role: string }>(
    'select user_id, role from org.members where org_id = $1 order by role',
    [tenant.orgId],
  );
const bootstrap = () =>
  auth.anonymous.post('/api/bootstrap', {
    organization: { name: 'Synthetic' },
    admin: { email: 'root@acme.test', name: 'Ada Root', password: PASSWORD },
  });

test('makes an organization with an owner and a viewer, who sign in, once', async () => {
  expect(await job()).toEqual({ org_id: tenant.orgId, founded: true, renewed: 0, removed: 0 });
  const [hash] = await auth.rows('select password_hash, updated_at from auth.users where id = $1', [tenant.owner.id]);
  expect(await job()).toEqual({ org_id: tenant.orgId, founded: false, renewed: 0, removed: 0 });

  const [organization] = await auth.rows('select name, status, plan from org.organizations');
  expect(organization).toEqual({ name: 'Synthetic tenant (deploy checks)', status: 'active', plan: 'free' });
  expect(await members()).toEqual([
    { user_id: tenant.owner.id, role: 'owner' },
    { user_id: tenant.viewer.id, role: 'viewer' },
  ]);
  expect((await login()).body.user).toMatchObject({ id: tenant.owner.id, role: 'user' });
  expect((await login(tenant.viewer.email, tenant.viewer.password)).status).toBe(200);
  const [verified] = await auth.rows('select email_verified_at from auth.users where id = $1', [tenant.owner.id]);
  expect(verified).toEqual({ email_verified_at: expect.any(Date) });
  const [same] = await auth.rows('select password_hash from auth.users where id = $1', [tenant.owner.id]);
  expect(same?.['password_hash']).toBe(hash?.['password_hash']);
  expect(await auth.events('org.organization_created.v1')).toHaveLength(1);
  expect(JSON.stringify(await auth.rows('select * from events.outbox'))).not.toContain(SECRET);
});

test('leaves the bootstrap open, and works after it as well', async () => {
  await job();
  expect(await auth.rows('select * from auth.bootstrap')).toEqual([]);
  const answer = await bootstrap();
  expect([answer.status, answer.body.organization?.slug]).toEqual([201, 'synthetic']);
  expect(await auth.rows("select id from auth.users where role = 'admin'")).toEqual([{ id: answer.body.user.id }]);
  await job();
  expect((await bootstrap()).body.code).toBe('bootstrap.completed');
});

test('of several at once each ends well, and there is one tenant', async () => {
  const ended = await Promise.all(Array.from({ length: 4 }, () => job()));
  expect(ended.filter(({ founded }) => founded)).toHaveLength(1);
  expect(await members()).toHaveLength(2);
  expect((await login()).status).toBe(200);
});

test('takes a new secret over: the old one and its sessions are dead', async () => {
  await job();
  const before = await login();
  const fresh = randomBytes(36).toString('base64');
  expect(await job({ SYNTHETIC_PASSWORD: fresh })).toMatchObject({ founded: false, renewed: 2 });
  expect((await login()).status).toBe(401);
  expect((await login(tenantOf(fresh).owner.email, SECRET)).status).toBe(401);
  expect((await login(tenantOf(fresh).owner.email, fresh)).status).toBe(200);
  const refresh = await auth.anonymous.post('/api/auth/refresh', { refresh_token: before.body.refresh_token });
  expect(refresh.status).toBe(401);
});

test('brings it back when somebody has disabled, promoted, suspended or deleted it', async () => {
  await job();
  const admin = auth.database.pool('admin').pg;
  const { owner, orgId } = tenant;
  const damages = [
    [`update auth.users set status = 'disabled', disabled_at = now() where id = $1`, owner.id],
    [`update auth.users set role = 'admin', password_reset_required = true where id = $1`, owner.id],
    [`update org.organizations set status = 'suspended', require_second_factor = true where id = $1`, orgId],
    [`update org.organizations set status = 'deleted', deleted_at = now() where id = $1`, orgId],
    ['select auth.forget_account($1, now())', owner.id],
  ] as const;
  for (const [damage, id] of damages) {
    await admin.query(damage, [id]);
    expect(await job()).toMatchObject({ founded: false });
    expect([damage, (await login()).body.user?.role]).toEqual([damage, 'user']);
    const [organization] = await auth.rows('select status from org.organizations');
    expect([damage, organization?.['status'], (await members()).length]).toEqual([damage, 'active', 2]);
  }
});

test('where everybody needs a second factor its people have one, from the secret', async () => {
  await job({ SECOND_FACTOR_REQUIRED_FOR: 'everyone' });
  const strict = await auth.another({ SECOND_FACTOR_REQUIRED_FOR: 'everyone' });
  const { email, seed } = tenant.owner;
  const asked = await strict.anonymous.post('/api/auth/login', { email, password: SECRET });
  const { challenge_token } = asked.body;
  const code = totp(seed, stepAt(auth.clock().getTime()));
  const verify = { challenge_token, method: 'totp', code };
  expect((await strict.anonymous.post('/api/auth/challenge/verify', verify)).status).toBe(200);
  await job();
  expect((await login()).body.access_token).toEqual(expect.any(String));
});

test('removes what killed checks have left, and neither what runs nor what is somebody else’s', async () => {
  await job();
  const owner = auth.as({ sub: tenant.owner.id, role: 'user' });
  const register = (email: string) =>
    owner.post('/api/auth/register', { email, name: 'Left', password: PASSWORD, org_id: tenant.orgId });
  const left = await register(addressOf('viewer', 'left'));
  const running = await register(addressOf('viewer', 'running'));
  expect([left.status, running.status]).toEqual([201, 201]);
  const theirs = await auth.user({ email: addressOf('viewer', 'theirs') });
  const admin = auth.database.pool('admin').pg;
  await admin.query('select org.found_organization(gen_random_uuid(), $1, $2, $3)', ['Acme', 'acme', theirs.id]);
  await admin.query(`update auth.users set created_at = now() - interval '1 hour' where id <> $1`, [
    running.body.user.id,
  ]);
  await admin.query(`update org.members set joined_at = now() - interval '1 hour' where user_id <> $1`, [
    running.body.user.id,
  ]);

  expect(await job()).toMatchObject({ removed: 1 });
  const there = await auth.rows<{ id: string }>('select id from auth.users');
  const ids = [tenant.owner.id, tenant.viewer.id, theirs.id, running.body.user.id];
  expect(there.map(({ id }) => id).sort()).toEqual(ids.sort());
  expect((await members()).map(({ user_id }) => user_id)).not.toContain(left.body.user.id);
});

test('another organization may have its name already', async () => {
  const { id } = await auth.user();
  const admin = auth.database.pool('admin').pg;
  const door = 'select org.found_organization(gen_random_uuid(), $1, $2, $3)';
  await admin.query(door, ['Squatters', 'synthetic-deploy-checks', id]);
  expect(await job()).toMatchObject({ founded: true });
  expect((await login()).status).toBe(200);
});

test('the doors are open to auth alone', async () => {
  const call = `select auth.forget_synthetic(gen_random_uuid(), '{}', now())`;
  const keep = `select org.keep_synthetic(gen_random_uuid(), 'x', gen_random_uuid(), gen_random_uuid(), now())`;
  for (const role of ['org', 'audit', 'worker', 'gateway'] as const)
    for (const statement of [call, keep])
      await expect(auth.database.pool(role).pg.query(statement)).rejects.toThrow(/permission denied/);
});

test('whoever has got hold of auth becomes the owner of no other organization by it', async () => {
  await bootstrap();
  const [{ id: victim } = { id: '' }] = await auth.rows<{ id: string }>('select id from org.organizations');
  const before = await auth.rows('select user_id, role from org.members where org_id = $1', [victim]);
  expect(before).toHaveLength(1);
  const { id } = await auth.user();
  const statement = 'select org.keep_synthetic($1, $2, $3, $3, now())';
  const call = auth.database.pool('auth').pg.query(statement, [victim, 'Mine', id]);
  await expect(call).rejects.toThrow(/is not the synthetic tenant/);
  expect(await auth.rows('select user_id, role from org.members where org_id = $1', [victim])).toEqual(before);
});
