import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { closeVisitors, visitor } from './house/house.ts';
import { type Company, company, hire, newKey, newPassword, platformAdmin, signedIn } from './house/people.ts';
import { until } from './house/wait.ts';

// What others script against, through NGINX: the section "Contract" and the tables it names.
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const uuid = expect.stringMatching(UUID);
const time = expect.stringMatching(TIME);

let acme: Company;
beforeAll(async () => {
  acme = await company(['owner', 'viewer']);
}, 60_000);
afterAll(closeVisitors);

const somebody = () => ({
  name: 'New Comer',
  email: `new-${randomBytes(6).toString('hex')}@people.test`,
  password: newPassword(),
});

describe('identity', () => {
  test('a second bootstrap is refused whatever it says, before its body is judged', async () => {
    await platformAdmin();
    const client = visitor();
    const bodies = [
      { organization: { name: 'X' }, admin: { email: 'x@x.test', name: 'X', password: newPassword() } },
      { nonsense: true },
    ];
    for (const body of bodies) {
      const answer = await client.post('/api/bootstrap', body);
      expect(answer.status).toBe(403);
      expect(answer.body).toMatchObject({ title: 'Bootstrap already completed', code: 'bootstrap.completed' });
    }
  });

  test('a sign-in answers a pair of tokens, in snake case, that nobody may store', async () => {
    const { email, password, id } = acme.people.viewer;
    const answer = await visitor().post('/api/auth/login', { email, password });

    expect(answer.status).toBe(200);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.body).toMatchObject({
      token_type: 'bearer',
      expires_in: 900,
      access_token: expect.stringMatching(/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/),
      refresh_token: expect.any(String),
      user: { id, email },
    });
    // The token is in the body alone; what knows the device again is no session.
    expect(answer.headers['set-cookie']).toEqual([expect.stringMatching(/^__Host-gatehouse_device=/)]);
  });

  test('an access token says who, in which session, and that it is one', async () => {
    const { client, id } = acme.people.viewer;
    const [header, claims] = (client.token ?? '').split('.').map((part) => JSON.parse(decoded(part) || '{}'));
    expect(header).toMatchObject({ alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) });
    expect(claims).toMatchObject({ sub: id, sid: uuid, role: 'user', jti: expect.any(String) });
    expect(claims.exp - claims.iat).toBe(900);

    const keys = await visitor().get<{ keys: Record<string, unknown>[] }>('/.well-known/jwks.json');
    expect(keys.status).toBe(200);
    expect(keys.body.keys.map(({ kid }) => kid)).toContain(header.kid);
    // Public halves only.
    for (const key of keys.body.keys) expect(key).not.toHaveProperty('d');
  });

  test('an admin registers a viewer; nobody chooses a role, and strangers and viewers register nobody', async () => {
    const person = { ...somebody(), org_id: acme.id };
    const { owner, viewer } = acme.people;

    const registered = await owner.client.post('/api/auth/register', person);
    expect(registered.status).toBe(201);
    expect(registered.body).toEqual({
      user: { id: uuid, email: person.email, name: person.name, role: 'viewer', org_id: acme.id },
    });
    expect((await visitor().post('/api/auth/register', { ...somebody(), org_id: acme.id })).status).toBe(401);
    expect((await viewer.client.post('/api/auth/register', { ...somebody(), org_id: acme.id })).status).toBe(403);
    const unknown = '0190f2a7-c1d2-7cc0-a3f1-b2c3d4e5f607';
    expect((await owner.client.post('/api/auth/register', { ...somebody(), org_id: unknown })).status).toBe(404);
    const roled = await owner.client.post('/api/auth/register', { ...somebody(), org_id: acme.id, role: 'owner' });
    expect(roled.status).toBe(400);
    expect(roled.body['errors']).toEqual([expect.objectContaining({ pointer: '/role' })]);
  });

  test('a refresh rotates, and gives a caller that asks again at once the same successor', async () => {
    const person = await hire(acme.id, 'viewer');
    const client = visitor();
    const first = await client.post('/api/auth/refresh', { refresh_token: person.refreshToken });
    const again = await client.post('/api/auth/refresh', { refresh_token: person.refreshToken });

    expect(first.status).toBe(200);
    expect(first.body).toMatchObject({ token_type: 'bearer', expires_in: 900 });
    expect(first.headers['cache-control']).toBe('no-store');
    expect(first.body['refresh_token']).not.toBe(person.refreshToken);
    expect(again.body['refresh_token']).toBe(first.body['refresh_token']);
  });

  test('me is who I am, and my name is mine to change', async () => {
    const person = await hire(acme.id, 'viewer');
    const changed = await person.client.patch('/api/auth/me', { name: 'Another Name' });
    expect(changed.status).toBe(200);
    const me = await person.client.get('/api/auth/me');
    expect(JSON.stringify(me.body)).toContain('Another Name');
    expect(JSON.stringify(me.body)).toContain(person.id);
    expect((await person.client.patch('/api/auth/me', { name: 'x', role: 'admin' })).status).toBe(400);
  });

  test('sessions are listed, one is ended, and then all', async () => {
    const first = await hire(acme.id, 'viewer');
    const second = await signedIn(first);
    const list = await first.client.get<{ data: { id: string; current: boolean }[] }>('/api/auth/sessions');

    expect(list.status).toBe(200);
    expect(list.body.data).toHaveLength(2);
    for (const session of list.body.data)
      expect(session).toEqual({
        id: uuid,
        current: expect.any(Boolean),
        device: expect.any(String),
        device_id: uuid,
        amr: ['pwd'],
        authenticated_at: time,
        address: expect.stringMatching(/^127\./),
        created_at: time,
        last_used_at: time,
        idle_expires_at: time,
        expires_at: time,
      });
    const other = list.body.data.find(({ current }) => !current)?.id;
    expect((await first.client.delete(`/api/auth/sessions/${other}`)).status).toBe(204);
    await until('the ended session is dead', 1000, () => second.client.get('/api/auth/me'), dead);
    expect((await first.client.get('/api/auth/me')).status).toBe(200);
    expect((await first.client.delete('/api/auth/sessions')).status).toBe(204);
    await until('all sessions are dead', 1000, () => first.client.get('/api/auth/me'), dead);
  });
});

describe('organizations', () => {
  test('an API key is shown once, reaches the application, by either header, and is listed without itself', async () => {
    const { owner } = acme.people;
    const created = await owner.client.post<{ id: string; key: string; prefix: string }>(
      `/api/org/${acme.id}/api-keys`,
      { name: 'Report', scopes: ['proxy'], rules: [{ method: 'GET', path: '/api/proxy/example/*' }] },
    );
    expect(created.status).toBe(201);
    const { id, key, prefix } = created.body;
    expect(created.body).toMatchObject({ id: uuid, expires_at: time, scopes: ['proxy'] });
    expect(key).toMatch(/^ezak_dev_[0-9A-Za-z]{49}$/);
    expect(key.startsWith(prefix)).toBe(true);

    const list = await owner.client.get(`/api/org/${acme.id}/api-keys`);
    expect(list.text).not.toContain(key);
    expect(list.body).toMatchObject({ data: expect.arrayContaining([expect.objectContaining({ id, prefix })]) });

    const client = visitor();
    expect((await client.get('/api/proxy/example/a', { authorization: `Bearer ${key}` })).status).toBe(200);
    expect((await client.get('/api/proxy/example/a', { 'x-api-key': key })).status).toBe(200);
    // Its rule allows reading only.
    expect((await client.post('/api/proxy/example/a', {}, { 'x-api-key': key })).status).toBe(403);
  });

  test('a key is replaced with an overlap, and revoked', async () => {
    const { owner } = acme.people;
    const old = await newKey(owner, acme.id);
    const path = `/api/org/${acme.id}/api-keys`;
    const rotated = await owner.client.post<{ id: string; key: string }>(`${path}/${old.id}/rotate`, {});
    expect(rotated.status).toBe(201);
    const client = visitor();
    for (const { key } of [old, rotated.body])
      expect((await client.get('/api/proxy/example/a', { 'x-api-key': key })).status).toBe(200);
    expect((await owner.client.delete(`${path}/${rotated.body.id}`)).status).toBe(204);
  });

  test('a creation repeated with its Idempotency-Key answers the same, another body is refused', async () => {
    const { owner } = acme.people;
    const path = `/api/org/${acme.id}/api-keys`;
    const headers = { 'idempotency-key': randomBytes(8).toString('hex') };
    const first = await owner.client.post(path, { name: 'once' }, headers);
    const second = await owner.client.post(path, { name: 'once' }, headers);
    const other = await owner.client.post(path, { name: 'twice' }, headers);

    expect([first.status, second.status, other.status]).toEqual([201, 201, 422]);
    expect(second.body['id']).toBe(first.body['id']);
    expect(second.body).not.toHaveProperty('key');
  });

  test('an organization is read, renamed, listed among mine, and its members are shown', async () => {
    const { owner } = acme.people;
    const read = await owner.client.get(`/api/org/${acme.id}`);
    expect(read.body).toMatchObject({
      id: acme.id,
      name: acme.name,
      plan: 'enterprise',
      status: 'active',
      created_at: time,
    });
    const mine = await owner.client.get<{ data: unknown[] }>('/api/orgs');
    expect(mine.body).toEqual({ data: [expect.objectContaining({ id: acme.id, role: 'owner' })], next_cursor: null });
    const members = await owner.client.get<{ data: Record<string, unknown>[] }>(`/api/org/${acme.id}/members?limit=1`);
    expect(members.body.data).toHaveLength(1);
    expect(members.body).toMatchObject({ next_cursor: expect.any(String) });
  });

  test('path and header that name two organizations are refused', async () => {
    const other = await company([]);
    const { client } = acme.people.owner;
    const answer = await client.get(`/api/org/${acme.id}`, { 'x-org-id': other.id });
    expect(answer.status).toBe(400);
  });
});

describe('the record', () => {
  test('it is read by organization with filters and pages, newest first', async () => {
    const { owner } = acme.people;
    await newKey(owner, acme.id);
    const path = `/api/org/${acme.id}/audit`;
    type Page = { data: { id: string; action: string; actor: { id: string } }[]; next_cursor: string | null };
    await until(
      'two events are sealed',
      10_000,
      () => owner.client.get<Page>(`${path}?limit=2`),
      ({ body }) => Boolean(body.next_cursor),
    );

    const first = await owner.client.get<Page>(`${path}?limit=1`);
    const next = await owner.client.get<Page>(`${path}?limit=1&cursor=${first.body.next_cursor}`);
    expect(first.body.data[0]).toMatchObject({
      id: uuid,
      occurred_at: time,
      org_id: acme.id,
      request_id: expect.any(String),
    });
    expect(next.body.data[0]?.id).not.toBe(first.body.data[0]?.id);

    const action = 'org.api_key_created.v1';
    const created = await until(
      'the key is in the record',
      10_000,
      () => owner.client.get<Page>(`${path}?action=${action}&actor=${owner.id}&from=2026-01-01T00:00:00Z`),
      ({ body }) => body.data.length > 0,
    );
    for (const entry of created.body.data) expect(entry).toMatchObject({ action, actor: { id: owner.id } });
    expect((await owner.client.get<Page>(`${path}?to=2020-01-01T00:00:00Z`)).body.data).toEqual([]);
    for (const bad of ['limit=0', 'limit=1000', 'cursor=forged', 'from=yesterday', 'sort=hash', 'limit=1&limit=2'])
      expect([bad, (await owner.client.get(`${path}?${bad}`)).status]).toEqual([bad, 400]);
  });
});

describe('the gateway', () => {
  test('it says that it is healthy, and what it is, and no more', async () => {
    const client = visitor();
    expect((await client.get('/health')).body).toEqual({ status: 'healthy' });
    expect((await client.get('/')).body).toEqual({ service: expect.any(String), version: expect.any(String) });
  });

  test('/v1 is the same API', async () => {
    const { owner } = acme.people;
    const [api, v1] = await Promise.all([
      owner.client.get(`/api/org/${acme.id}`),
      owner.client.get(`/v1/org/${acme.id}`),
    ]);
    expect(v1.body).toEqual(api.body);
    const proxied = await owner.client.get('/v1/proxy/example/x', { 'x-org-id': acme.id });
    expect(proxied.status).toBe(200);
    expect((await visitor().post('/v1/auth/login', { email: 'a@b.test', password: 'wrong-password' })).status).toBe(
      401,
    );
  });

  test('errors are problem documents, with the request id of their header', async () => {
    const answer = await visitor().get('/api/auth/me');
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(answer.body).toEqual({
      type: expect.any(String),
      title: 'Authentication required',
      status: 401,
      detail: expect.any(String),
      code: 'auth.required',
      request_id: answer.headers['x-request-id'],
    });
  });

  test('unknown fields are refused and named', async () => {
    const answer = await visitor().post('/api/auth/login', { email: 'a@b.test', password: 'p', remember: true });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ code: 'request.invalid', errors: [{ pointer: '/remember' }] });
  });
});

const dead = ({ status }: { status: number }) => status === 401;
const decoded = (part: string) => {
  try {
    const text = Buffer.from(part, 'base64url').toString();
    JSON.parse(text);
    return text;
  } catch {
    return '';
  }
};
