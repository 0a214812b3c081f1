import { SERVICE_ROUTES } from '@gatehouse/contracts/routes';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { closeVisitors, query, visitor } from './house/house.ts';
import { type Company, company, newKey, type Person } from './house/people.ts';
import { filled, operations } from './house/reference.ts';
import { until } from './house/wait.ts';

let acme: Company;
let owner: Person;
let key: { id: string; key: string };
beforeAll(async () => {
  acme = await company(['owner']);
  owner = acme.people.owner;
  key = await newKey(owner, acme.id);
}, 60_000);
afterAll(closeVisitors);

describe('S087: a key reaches applications and nothing else, ever', () => {
  test('every operation of the reference refuses a key, those that need no credential too', async () => {
    const client = visitor().as(key.key);
    const reached: string[] = [];
    for (const operation of await operations()) {
      if (operation.path.startsWith('/api/proxy') || operation.path.startsWith('/api/standalone')) continue;
      // The gateway's own pages are for everybody, and read nothing of the credential.
      if (operation.tag === 'gateway') continue;
      const answer = await client.send({
        method: operation.method,
        path: filled(operation, { org_id: acme.id, user_id: owner.id, key_id: key.id }),
        ...(['POST', 'PATCH'].includes(operation.method) ? { body: {} } : {}),
      });
      if (answer.status !== 403) reached.push(`${operation.method} ${operation.path} -> ${answer.status}`);
    }
    expect(reached).toEqual([]);
  });

  test.each(SERVICE_ROUTES.map(({ path }) => path))('%s is closed to a key by both headers', async (pattern) => {
    const path = pattern.replace(':org_id', acme.id).replace('*', 'anything');
    const client = visitor();
    for (const headers of [{ 'x-api-key': key.key }, { authorization: `Bearer ${key.key}` }])
      for (const method of ['GET', 'POST', 'DELETE']) {
        const answer = await client.send({ method, path, headers });
        expect([path, method, answer.status]).toEqual([path, method, 403]);
      }
  });

  test('a key signs nobody in', async () => {
    const { email, password } = owner;
    const answer = await visitor().as(key.key).post('/api/auth/login', { email, password });
    expect(answer.status).toBe(403);
    expect(answer.text).not.toContain('access_token');
  });

  test('what a key was refused is recorded with the key and its organization', async () => {
    const refused = await visitor().as(key.key).get('/api/orgs');
    const rows = await until(
      'the refusal is sealed',
      10_000,
      () =>
        query('select actor_kind, actor_id, org_id from audit.log where request_id = $1', [
          refused.headers['x-request-id'],
        ]),
      (found) => found.length > 0,
    );
    expect(rows).toEqual([{ actor_kind: 'api_key', actor_id: key.id, org_id: acme.id }]);
  });
});

describe('S089: one credential', () => {
  test.each([
    ['a token and a key', () => ({ authorization: `Bearer ${owner.client.token}`, 'x-api-key': key.key })],
    ['two keys', () => ({ authorization: `Bearer ${key.key}`, 'x-api-key': `${key.key.slice(0, -1)}0` })],
    ['a key twice', () => ({ 'x-api-key': [key.key, key.key] })],
  ])('%s are refused', async (_, headers) => {
    const answer = await visitor().get('/api/proxy/example/x', { ...headers(), 'x-org-id': acme.id });
    expect(answer.status).toBe(400);
  });
});

test('S091: what only looks like a key is refused, and the database holds no key', async () => {
  const client = visitor();
  const wrong = [`${key.key.slice(0, -1)}!`, key.key.slice(0, -1), key.key.replace('_dev_', '_prod_'), 'ezak_dev_x'];
  for (const credential of wrong)
    expect((await client.get('/api/proxy/example/x', { 'x-api-key': credential })).status).toBe(401);
  const [row] = await query<{ found: boolean }>(
    'select exists (select from org.api_keys k where k::text like $1) as found',
    [`%${key.key.slice(16)}%`],
  );
  expect(row).toEqual({ found: false });
});

test('S093, S095: the application sees the identity of the gateway, and none that a client made up', async () => {
  const forged = {
    'x-org-id': acme.id,
    'gatehouse-identity': 'eyJhbGciOiJub25lIn0.e30.',
    'x-user-id': 'root',
    'x-user-role': 'owner',
    'x-org-role': 'owner',
    'x-platform-admin': 'true',
    'x-internal-context': 'x',
    'x-service-token': 'x',
    'remote-user': 'root',
    'x-forwarded-user': 'root',
    connection: 'close, gatehouse-identity, x-forwarded-for, x-request-id',
  };
  type Echo = { identity: { sub: string }; request: { headers: Record<string, string> } };
  const answer = await owner.client.get<Echo>('/api/proxy/example/x', forged);

  expect(answer.status).toBe(200);
  expect(answer.body.identity).toMatchObject({ iss: 'gatehouse', aud: 'example', kind: 'user', sub: owner.id });
  const { headers } = answer.body.request;
  expect(headers['x-request-id']).toBe(answer.headers['x-request-id']);
  expect(headers['x-forwarded-for']).toMatch(/^127\./);
  for (const name of Object.keys(forged).filter(
    (name) => !['gatehouse-identity', 'connection', 'x-org-id'].includes(name),
  ))
    expect(headers).not.toHaveProperty(name);
  // The client's credential stays here.
  expect(headers).not.toHaveProperty('authorization');
  expect(headers).not.toHaveProperty('cookie');
});
