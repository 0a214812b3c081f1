import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { identity } from '@gatehouse/testkit/identities';
import { type Client, client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  accessJwk,
  accessKey,
  accessPublicPem,
  type House,
  identityIn,
  listening,
  newKey,
  rawRequest,
  signToken,
  testHouse,
} from '../testing.ts';

let house: House;
let gateway: Awaited<ReturnType<House['start']>>;
let api: Client;

beforeAll(async () => {
  house = await testHouse();
  gateway = await house.start();
  api = client(gateway.url);
});
afterAll(() => house.close());

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const me = (token: string) => api.get('/api/auth/me', bearer(token));
const segment = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('an access token', () => {
  test('becomes an identity for one audience, and goes no further itself', async () => {
    const user = house.user();

    const answer = await me(user.token);

    expect(answer.status).toBe(200);
    const received = house.auth.requests.at(-1);
    expect(identityIn(received, 'auth')).toMatchObject({
      kind: 'user',
      sub: user.user_id,
      sid: user.session_id,
      role: 'user',
    });
    expect(received?.headers.authorization).toBeUndefined();
  });

  test('S024 with another algorithm, none at all or a foreign signature is refused', async () => {
    const user = house.user();
    const [head = '', body = '', signature = ''] = user.token.split('.');
    const foreign = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const tokens = [
      ...['none', 'None', 'nOnE'].map((alg) => `${segment({ alg, typ: 'at+jwt', kid: accessJwk.kid })}.${body}.`),
      `${segment({ alg: 'none', typ: 'at+jwt', kid: accessJwk.kid })}.${body}.${signature}`,
      signToken(user, { hmacKey: accessPublicPem }),
      signToken(user, { hmacKey: JSON.stringify(accessJwk) }),
      `${segment({ alg: 'HS256', typ: 'at+jwt', kid: accessJwk.kid })}.${body}.${signature}`,
      signToken(user, { key: foreign }),
      `${head}.${body}.`,
      `${head}.${body}`,
      `${head}..${signature}`,
      'x.y.z',
      'a'.repeat(5000),
    ];

    const answers = await Promise.all(tokens.map(me));

    expect(answers.map(({ status }) => status)).toEqual(tokens.map(() => 401));
    expect(answers[0]?.body).toMatchObject({ code: 'auth.required', request_id: expect.any(String) });
  });

  test('S025 cannot say where its key is', async () => {
    let asked = 0;
    const listener = createServer((_req, res) => {
      asked += 1;
      res.end('{}');
    });
    const port = await listening(listener);
    const user = house.user();
    const foreign = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const elsewhere = `http://127.0.0.1:${port}/keys`;
    const headers: Record<string, unknown>[] = [
      { kid: 'x', jku: elsewhere },
      { kid: 'x', x5u: elsewhere },
      { jku: elsewhere },
      { jwk: foreign.publicKey.export({ format: 'jwk' }) },
      { x5c: ['MIIB'] },
      { kid: '../../../../dev/null' },
      { kid: "' or 1=1 --" },
      { kid: 'k'.repeat(10_000) },
      { kid: undefined },
    ];

    const answers = await Promise.all(
      headers.map((header) => me(signToken(user, { header, key: foreign.privateKey }))),
    );

    expect(answers.map(({ status }) => status)).toEqual(headers.map(() => 401));
    expect(asked).toBe(0);
    listener.close();
  });

  test('S026 with wrong times, issuer, audience or subject is refused', async () => {
    const user = house.user();
    const now = Math.floor(Date.now() / 1000);
    const claims: Record<string, unknown>[] = [
      { exp: now - 61 },
      { exp: undefined },
      { exp: String(now + 600) },
      { exp: 1e30 },
      { nbf: now + 120 },
      { iat: now + 120 },
      { iat: undefined },
      { iss: 'https://evil.test' },
      { iss: undefined },
      { aud: 'https://evil.test' },
      { aud: undefined },
      { aud: ['https://gatehouse.test', 'https://evil.test'] },
      { sub: 'not-a-uuid' },
      { sid: undefined },
    ];

    const answers = await Promise.all(claims.map((changed) => me(signToken(user, { claims: changed }))));

    expect(answers.map(({ status }) => status)).toEqual(claims.map(() => 401));
  });

  test('S027 is the only kind of token that opens a session route', async () => {
    const user = house.user();
    const now = Math.floor(Date.now() / 1000);
    const tokens = [
      ...['refresh+jwt', 'mfa+jwt', 'reset+jwt', 'invite+jwt', 'JWT', 'identity+jwt', undefined].map((typ) =>
        signToken(user, { header: { typ } }),
      ),
      identity('auth', { sub: user.user_id, sid: user.session_id }),
      randomUUID(),
      // What a sign-in that waits for its second factor was given (S045).
      randomBytes(32).toString('base64url'),
      `${user.session_id}.1.${'a'.repeat(43)}`,
      newKey(),
      signToken(user, { claims: { exp: now + 1_000_000 } }),
    ];

    const answers = await Promise.all(tokens.map(me));

    expect(answers.map(({ status }) => status)).toEqual(tokens.map(() => 401));
  });

  test('is not looked for in the query', async () => {
    const user = house.user();
    expect((await api.get(`/api/auth/me?access_token=${user.token}`)).status).toBe(401);
  });

  test('that has expired does not keep its client from refreshing', async () => {
    const user = house.user();
    const now = Math.floor(Date.now() / 1000);
    const old = signToken(user, { claims: { iat: now - 1000, exp: now - 100 } });

    const answer = await api.post('/api/auth/refresh', { refresh_token: 'x' }, bearer(old));

    expect(answer.status).toBe(200);
    expect(identityIn(house.auth.requests.at(-1), 'auth').kind).toBe('anonymous');
  });
});

describe('the key set', () => {
  test('S042 is published with public members only, and unknown key ids cost one fetch per cool-down', async () => {
    const published = await api.get('/.well-known/jwks.json');
    expect(published.body.keys).toHaveLength(2);
    for (const key of published.body.keys)
      expect(Object.keys(key).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    const before = house.owned.jwksFetches;
    const user = house.user();

    const statuses = new Set<number>();
    for (let i = 0; i < 20; i++) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => me(signToken(user, { header: { kid: randomUUID() }, key: accessKey }))),
      );
      for (const { status } of answers) statuses.add(status);
    }

    expect([...statuses]).toEqual([401]);
    expect(house.owned.jwksFetches - before).toBeLessThanOrEqual(1);
  });

  test('F40 is fetched once, however many ask at once after a start', async () => {
    const cold = await house.start();
    const users = Array.from({ length: 60 }, () => house.user());
    const before = house.owned.jwksFetches;

    const answers = await Promise.all(users.map(({ headers }) => client(cold.url, headers).get('/api/auth/me')));

    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    expect(house.owned.jwksFetches - before).toBe(1);
  });
});

describe('two credentials', () => {
  test('S089 are refused also when a header that does not matter is repeated after them', async () => {
    const org = house.organization();
    const [one, other] = [house.apiKey(org), house.apiKey(org)];
    const twice = (name: string, [first, second]: [string, string]) => `${name}: ${first}\r\n${name}: ${second}\r\n`;
    const ask = (headers: string) =>
      rawRequest(gateway.port, `GET /api/proxy/example/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers}\r\n`);
    const keys = twice('x-api-key', [one.key, other.key]);

    for (const name of ['user-agent', 'sec-fetch-site', 'x-forwarded-for', 'traceparent'])
      for (const headers of [keys + twice(name, ['a', 'b']), twice(name, ['a', 'b']) + keys])
        expect(await ask(headers)).toMatch(/^HTTP\/1\.1 400 /);
  });

  test('S089 are refused, whichever they are', async () => {
    const org = house.organization();
    const user = house.user({ org_id: org });
    const [one, other] = [house.apiKey(org), house.apiKey(org)];
    const pairs = [
      { ...bearer(user.token), 'x-api-key': one.key },
      { ...bearer(one.key), 'x-api-key': other.key },
    ];

    const answers = await Promise.all(
      pairs.map((headers) => api.get('/api/proxy/example/x', { ...headers, 'x-org-id': org })),
    );
    const twice = await rawRequest(
      gateway.port,
      `GET /api/proxy/example/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: ${one.key}\r\nx-api-key: ${other.key}\r\n\r\n`,
    );

    expect(answers.map(({ status }) => status)).toEqual([400, 400]);
    expect(twice).toMatch(/^HTTP\/1.1 400 /);
    expect((await api.get('/api/proxy/example/x', { ...bearer(one.key), 'x-api-key': one.key })).status).toBe(200);
  });
});
