import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { identity, identityHeaders, type TestIdentity, testVerifier } from '@gatehouse/testkit/identities';
import { type Client, client, type Listening, listen } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import winston from 'winston';
import { z } from 'zod';
import { sha256 } from './crypto.ts';
import { many, one, transaction } from './db.ts';
import { createDispatch } from './dispatch.ts';
import { type Endpoint, endpoint, reply } from './endpoint.ts';
import { AppError } from './errors.ts';
import { Id } from './ids.ts';
import { createMetrics } from './metrics.ts';
import { publish } from './outbox.ts';
import { pageOf } from './page.ts';
import { line } from './text.ts';

const metrics = createMetrics({ version: '0', revision: 'test' });
const orgId = randomUUID();
let database: TestDatabase;
let server: Listening;
let handled: unknown;
let beforeDone: (() => void) | undefined;

const endpoints = (): Endpoint[] => [
  endpoint({
    get: '/api/things',
    summary: 'List',
    permission: 'user',
    query: z.strictObject({ q: z.string().optional() }),
    answers: { 200: pageOf(z.object({ id: z.number(), at: z.date() })) },
    handle: ({ query }) => {
      handled = query;
      return { data: [{ id: 1, at: new Date(0), password_hash: 'never shown' }], next_cursor: null };
    },
  }),
  endpoint({
    post: '/api/things',
    summary: 'Create',
    permission: 'user',
    body: z.strictObject({ name: line(40) }),
    answers: { 201: z.object({ name: z.string(), n: z.number(), key: z.string().optional() }) },
    handle: async ({ actor, body }) => {
      const made = await transaction(database.pool('org'), async (tx) => {
        await publish(tx, actor, 'access.denied.v1', { method: 'POST', route: body.name, status: 0, code: 'made' });
        beforeDone?.();
        const slow = body.name === 'slow' ? 0.3 : 0;
        return one(tx, z.object({ name: z.string(), n: z.number() }))`
          select ${body.name} as name, 1 as n from pg_sleep(${slow})`;
      });
      return { ...made, key: 'shown once' };
    },
  }),
  endpoint({
    get: '/api/things/:thing_id',
    summary: 'Read',
    permission: 'public',
    params: z.strictObject({ thing_id: z.uuid() }),
    answers: { 200: z.object({ thing_id: z.string() }), 202: z.object({ later: z.boolean() }) },
    handle: ({ params, actor }) =>
      actor.kind === 'anonymous' ? reply(202, { later: true }, { 'x-own': '1' }) : params,
  }),
  endpoint({
    get: '/api/org/:org_id/members',
    summary: 'Members',
    permission: 'members:read',
    answers: { 200: z.object({ role: z.string() }) },
    handle: ({ org }) => ({ role: org.role }),
  }),
  endpoint({
    delete: '/api/org/:org_id/members',
    summary: 'Remove all',
    permission: 'members:write',
    answers: { 204: z.void() },
    handle: () => undefined,
  }),
  endpoint({
    get: '/api/admin',
    summary: 'A',
    permission: 'platform_admin',
    answers: { 204: z.void() },
    handle: () => undefined,
  }),
  endpoint({
    get: '/internal/x',
    summary: 'I',
    permission: 'internal',
    answers: { 204: z.void() },
    handle: () => undefined,
  }),
  endpoint({
    get: '/api/broken/:how',
    summary: 'Break',
    permission: 'user',
    params: z.strictObject({ how: z.string() }),
    answers: { 200: z.object({ id: z.number() }) },
    handle: async ({ params }) => {
      if (params.how === 'bug') throw new Error('password=hunter2 in select * from users');
      if (params.how === 'answer') return { id: 'not a number' };
      if (params.how === 'nul') return many(database.pool('org'), z.object({}))`select ${'\u0000'}::text as t`;
      throw new AppError('conflict', 'Taken.');
    },
  }),
];

beforeAll(async () => {
  database = await testDatabase({ units: ['platform'] });
  const log = winston.createLogger({ silent: true });
  const pool = database.pool('org');
  server = await listen(createDispatch({ endpoints: endpoints(), pool, log, metrics, verifier: testVerifier('org') }));
});
afterAll(async () => {
  await server.close();
  await database.close();
});

const as = (about: TestIdentity = {}): Client => client(server.url, identityHeaders('org', about));
const events = (type: string) =>
  many(database.pool('admin'), z.object({ outcome: z.string(), data: z.any(), actor: z.any() }))`
    select o.outcome, o.data, o.actor from events.outbox o where o.type = ${type} order by o.position`;

describe('who is asked for', () => {
  test('S096 without an identity nothing answers, not even an unknown path', async () => {
    for (const path of ['/api/things', '/nowhere', '/internal/x', `/api/things/${randomUUID()}`])
      expect((await client(server.url).get(path)).status).toBe(401);
  });

  test('S096 an identity for another service is refused', async () => {
    expect((await client(server.url, identityHeaders('auth')).get('/api/things')).status).toBe(401);
  });

  test('an anonymous request reaches what is public and nothing else', async () => {
    const anonymous = as({ kind: 'anonymous' });

    expect(await anonymous.get(`/api/things/${randomUUID()}`)).toMatchObject({ status: 202, body: { later: true } });
    expect((await anonymous.get('/api/things')).status).toBe(401);
    expect((await anonymous.get('/api/admin')).status).toBe(401);
  });

  test('S087 an API key is refused by every endpoint that is not public', async () => {
    const key = as({ kind: 'api_key', org: { id: orgId, role: 'api_key' } });

    for (const path of ['/api/things', `/api/org/${orgId}/members`, '/api/admin'])
      expect((await key.get(path)).status).toBe(403);
  });

  test('a platform endpoint asks for the platform role', async () => {
    expect((await as().get('/api/admin')).status).toBe(403);
    expect((await as({ role: 'admin' }).get('/api/admin')).status).toBe(204);
  });

  test('an internal endpoint does not exist for anyone but the gateway', async () => {
    expect((await as({ role: 'admin' }).get('/internal/x')).status).toBe(404);
    expect((await as({ kind: 'service' }).get('/internal/x')).status).toBe(204);
  });

  test('an unconfirmed user reads, and writes nothing', async () => {
    const guest = as({ role: 'guest' });

    expect((await guest.get('/api/things')).status).toBe(200);
    expect((await guest.post('/api/things', { name: 'x' })).status).toBe(403);
  });

  test('S072 a permission counts in the organization of the identity only', async () => {
    const owner = as({ org: { id: orgId, role: 'owner' } });

    expect(await owner.get(`/api/org/${orgId}/members`)).toMatchObject({ status: 200, body: { role: 'owner' } });
    expect((await owner.get(`/api/org/${randomUUID()}/members`)).status).toBe(404);
    expect((await as().get(`/api/org/${orgId}/members`)).status).toBe(404);
  });

  test('S076 a refused permission is recorded once, with who asked', async () => {
    const user = randomUUID();

    const answer = await as({ sub: user, org: { id: orgId, role: 'viewer' } }).delete(`/api/org/${orgId}/members`);

    expect(answer).toMatchObject({ status: 403, body: { code: 'access.denied' } });
    const denials = (await events('access.denied.v1')).filter(({ actor }) => actor.user_id === user);
    expect(denials).toMatchObject([
      { outcome: 'denied', data: { method: 'DELETE', route: '/api/org/:org_id/members', permission: 'members:write' } },
    ]);
  });
});

describe('what is accepted', () => {
  test.each([
    ['S019 an array for an object', '[]', 400],
    ['S019 a string', '"x"', 400],
    ['S019 null', 'null', 400],
    ['S019 a wrong type', '{"name":{"$gt":""}}', 400],
    ['S023 an unknown field', '{"name":"x","role":"admin"}', 400],
    ['S114 a prototype', '{"name":"x","__proto__":{"role":"admin"}}', 400],
    ['S110 malformed JSON', '{"name":', 400],
    ['S006 NUL', '{"name":"a\\u0000b"}', 400],
    ['S006 a lone surrogate', '{"name":"\\ud800"}', 400],
    ['S018 a line break', '{"name":"a\\r\\nBcc: x"}', 400],
    ['S113 nested arrays', '['.repeat(30_000), 400],
    ['S113 too much', JSON.stringify({ name: 'x'.repeat(70_000) }), 413],
  ])('%s is refused with a problem and no effect', async (_what, body, status) => {
    const before = (await events('access.denied.v1')).length;

    const answer = await as().post('/api/things', body);

    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect((await events('access.denied.v1')).length).toBe(before);
  });

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', ''])(
    'S019 a body of type "%s" is not read',
    async (type) => {
      expect((await as().post('/api/things', '{"name":"x"}', { 'content-type': type })).status).toBe(415);
    },
  );

  test('S113 a compressed body is refused, so that it cannot grow', async () => {
    expect((await as().post('/api/things', '{"name":"x"}', { 'content-encoding': 'gzip' })).status).toBe(415);
  });

  test('a mistake is named by its pointer', async () => {
    const answer = await as().post('/api/things', { name: '', extra: 1 });

    expect(answer.body.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual(
      expect.arrayContaining(['/name', '/extra']),
    );
  });

  test.each(['?other=1', '?q=1&q=2', '?q[]=1', '?__proto__=1'])('S115 the query %s is refused', async (query) => {
    expect((await as().get(`/api/things${query}`)).status).toBe(400);
  });

  test('S117 a path parameter of another form is refused', async () => {
    expect((await as().get('/api/things/1e309')).status).toBe(400);
  });

  test('S033 an id in capital letters is the same id, in a path as in what is cached of it', async () => {
    const id = randomUUID();
    expect((await as().get(`/api/things/${id.toUpperCase()}`)).body).toEqual({ thing_id: id });
    expect(Id.parse(id.toUpperCase())).toBe(id);
  });

  test.each(['/API/things', '/api/things/', '/api//things', '/api/%74hings', '/api/things;x'])(
    'S100 %s is no other name of a path',
    async (path) => {
      expect((await as().get(path)).status).toBe(404);
    },
  );

  test('S101 a method that a path does not have is named so', async () => {
    const answer = await as().put('/api/things', {}, { 'x-http-method-override': 'POST' });

    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe('GET, POST');
  });
});

describe('what is answered', () => {
  test('only declared fields, times in RFC 3339, never cached', async () => {
    const answer = await as().get('/api/things?q=%25_');

    expect(answer.body).toEqual({ data: [{ id: 1, at: '1970-01-01T00:00:00.000Z' }], next_cursor: null });
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(handled).toEqual({ q: '%_' });
  });

  test('S110 a bug tells its request id and nothing else', async () => {
    const answer = await as().get('/api/broken/bug', { 'x-request-id': 'abc-123' });

    expect(answer).toMatchObject({ status: 500, body: { code: 'internal', request_id: 'abc-123' } });
    expect(JSON.stringify(answer.body)).not.toMatch(/hunter2|select|Error|\.ts/);
  });

  test('an answer that is not as declared is a bug, not an answer', async () => {
    expect((await as().get('/api/broken/answer')).status).toBe(500);
  });

  test('S006 a value that Postgres refuses is the client’s mistake', async () => {
    expect((await as().get('/api/broken/nul')).status).toBe(400);
  });

  test('S118 a request id of another form is replaced', async () => {
    const answer = await as().get('/api/broken/conflict', { 'x-request-id': 'a"}{"b' });

    expect(answer.body.request_id).toMatch(/^[0-9a-f]{32}$/);
    expect(answer.headers.get('x-request-id')).toBe(answer.body.request_id);
  });

  test('S111 answers in parallel keep their own request ids and details', async () => {
    const ids = Array.from({ length: 50 }, (_, index) => `r${index}`);

    const answers = await Promise.all(ids.map((id) => as().get('/api/broken/conflict', { 'x-request-id': id })));

    expect(answers.map(({ body }) => body.request_id)).toEqual(ids);
  });

  test('a client that leaves in the middle of its body leaves nothing behind', async () => {
    const before = (await events('access.denied.v1')).length;
    const socket = connect(server.port, '127.0.0.1');
    socket.write(
      `POST /api/things HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\ngatehouse-identity: ${identity('org')}\r\n\r\n{"na`,
    );
    socket.destroySoon();
    await new Promise((resolve) => socket.on('close', resolve));

    expect((await as().get('/api/things')).status).toBe(200);
    expect((await events('access.denied.v1')).length).toBe(before);
  });

  test('metrics name the route, whatever the path holds', async () => {
    await Promise.all(Array.from({ length: 20 }, () => as().get(`/api/things/${randomUUID()}`)));
    await as().get(`/${randomUUID()}`);

    const text = await metrics.registry.metrics();
    const routes = new Set([...text.matchAll(/http_requests_total\{[^}]*route="([^"]*)"/g)].map(([, route]) => route));
    expect(routes).toContain('/api/things/:thing_id');
    expect(
      [...routes].every((route) => route === '__unmatched__' || endpoints().some(({ path }) => path === route)),
    ).toBe(true);
  });
});

describe('S128 Idempotency-Key', () => {
  const made = async (name: string) =>
    (await events('access.denied.v1')).filter(({ data }) => data.code === 'made' && data.route === name).length;

  test('the same request again gets the stored answer, without what is shown once', async () => {
    const user = as({ sub: randomUUID() });
    const key = { 'idempotency-key': randomUUID() };

    const first = await user.post('/api/things', { name: 'once' }, key);
    const second = await user.post('/api/things', { name: 'once' }, key);

    expect(first).toMatchObject({ status: 201, body: { name: 'once', key: 'shown once' } });
    expect(second).toMatchObject({ status: 201, body: { name: 'once', n: 1 } });
    expect(second.body.key).toBeUndefined();
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect(await made('once')).toBe(1);
  });

  test('S091 what is kept of the body cannot be guessed from it', async () => {
    const body = { name: 'guessable' };
    await as().post('/api/things', body, { 'idempotency-key': randomUUID() });
    const [row] = await many(database.pool('admin'), z.object({ request_hash: z.string() }))`
      select k.request_hash from app.idempotency_keys k where k.answer ->> 'name' = 'guessable'`;
    expect(row?.request_hash).toMatch(/^[0-9a-f]{64}$/);
    expect(row?.request_hash).not.toBe(sha256(JSON.stringify(body)).toString('hex'));
  });

  test('another body under the same key is a mistake', async () => {
    const user = as({ sub: randomUUID() });
    const key = { 'idempotency-key': randomUUID() };
    await user.post('/api/things', { name: 'first' }, key);

    expect(await user.post('/api/things', { name: 'second' }, key)).toMatchObject({
      status: 422,
      body: { code: 'idempotency.mismatch' },
    });
    expect(await made('second')).toBe(0);
  });

  test('the key of one user is nothing to another', async () => {
    const key = { 'idempotency-key': randomUUID() };
    await as({ sub: randomUUID() }).post('/api/things', { name: 'shared' }, key);

    expect((await as({ sub: randomUUID() }).post('/api/things', { name: 'shared' }, key)).status).toBe(201);
    expect(await made('shared')).toBe(2);
  });

  // Guards the advisory lock in claim(): without it the second insert waits for the first and answers late, not 409.
  test('twenty at once have one effect; those that come while it runs are told so', async () => {
    const about = { sub: randomUUID(), sid: randomUUID() };
    const key = { 'idempotency-key': randomUUID() };

    const answers = await Promise.all(
      Array.from({ length: 20 }, () => as(about).post('/api/things', { name: 'slow' }, key)),
    );

    const statuses = answers.map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([201, 409]));
    expect(await made('slow')).toBe(1);
  });

  test('a request that failed claims nothing', async () => {
    const user = as({ sub: randomUUID() });
    const key = { 'idempotency-key': randomUUID() };
    beforeDone = () => {
      throw new Error('killed');
    };
    const failed = await user.post('/api/things', { name: 'retried' }, key);
    beforeDone = undefined;
    const retried = await user.post('/api/things', { name: 'retried' }, key);

    expect([failed.status, retried.status]).toEqual([500, 201]);
    expect(await made('retried')).toBe(1);
  });

  test('a key of another form is refused', async () => {
    expect((await as().post('/api/things', { name: 'x' }, { 'idempotency-key': 'x'.repeat(256) })).status).toBe(400);
  });
});
