import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { closeVisitors, visitor } from './house/house.ts';
import { company, type Person, platformAdmin } from './house/people.ts';
import { filled, type Operation, operations } from './house/reference.ts';

let admin: Person;
let orgId: string;
let all: Operation[];
beforeAll(async () => {
  admin = await platformAdmin();
  orgId = (await company([])).id;
  all = await operations();
}, 60_000);
afterAll(closeVisitors);

test('the reference is served to everyone, as a document and as a page', async () => {
  const client = visitor();
  const document = await client.get<{ openapi: string; servers: { url: string }[] }>('/api/openapi.json');
  expect(document.status).toBe(200);
  expect(document.body).toMatchObject({ openapi: expect.stringMatching(/^3\.1\./), info: { title: 'Gatehouse' } });
  const page = await client.get('/api/docs');
  expect(page.status).toBe(200);
  expect(page.headers['content-type']).toMatch(/^text\/html/);
  // Readable without asking a third party for anything.
  expect(page.text).not.toMatch(/(src|href)="https?:\/\//);
});

test('it knows every service and at least the operations of the foundation', () => {
  const known = all.map(({ method, path }) => `${method} ${path}`);
  expect(known).toEqual(
    expect.arrayContaining([
      'POST /api/bootstrap',
      'POST /api/auth/login',
      'POST /api/auth/refresh',
      'GET /api/auth/sessions',
      'POST /api/org/{org_id}/api-keys',
      'GET /api/org/{org_id}/audit',
      'GET /api/admin/audit',
      'GET /health',
      'GET /.well-known/jwks.json',
    ]),
  );
});

// PUT is no method of ours: who knows a path answers 405 and names the methods that it has.
test('every operation is there, behind the gateway and in its service, under /api and under /v1', async () => {
  const missing: string[] = [];
  for (const operation of all) {
    const path = filled(operation, { org_id: orgId });
    if (operation.path.startsWith('/admin/') || operation.tag === 'gateway') continue;
    for (const spelled of path.startsWith('/api/') ? [path, path.replace('/api/', '/v1/')] : [path]) {
      const answer = await admin.client.send({ method: 'PUT', path: spelled });
      const allowed = String(answer.headers.allow ?? '').split(', ');
      if (answer.status !== 405 || !allowed.includes(operation.method))
        missing.push(`${operation.method} ${spelled} (${answer.status} ${allowed})`);
    }
  }
  expect(missing).toEqual([]);
});

test('what the gateway answers by itself is there', async () => {
  const own = all.filter(({ tag, method, path }) => tag === 'gateway' && method === 'GET' && !path.includes('{'));
  for (const { path } of own) expect([path, (await visitor().get(path)).status]).toEqual([path, 200]);
});

test('what needs a credential in the reference needs one', async () => {
  const wrong: string[] = [];
  const closed = all.filter(({ permission, tag }) => permission !== 'public' && tag !== 'gateway');
  expect(closed.length).toBeGreaterThanOrEqual(20);
  for (const operation of closed) {
    const answer = await visitor().send({ method: operation.method, path: filled(operation, { org_id: orgId }) });
    if (answer.status !== 401) wrong.push(`${operation.method} ${operation.path} -> ${answer.status}`);
  }
  expect(wrong).toEqual([]);
});
