import { eventually } from '@gatehouse/testkit/eventually';
import { type Client, client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type House, rawRequest, testHouse } from '../testing.ts';

let house: House;
let gateway: Awaited<ReturnType<House['start']>>;
let api: Client;

beforeAll(async () => {
  house = await testHouse();
  gateway = await house.start();
  api = client(gateway.url);
});
afterAll(() => house.close());

describe('the gateway itself', () => {
  test('says who it is and that it is well, and no more', async () => {
    expect((await api.get('/')).body).toEqual({ service: 'gatehouse', version: '0.0.0' });
    expect((await api.get('/health')).body).toEqual({ status: 'healthy' });
    expect((await api.post('/health', {})).status).toBe(405);
    expect((await api.get('/health/')).status).toBe(404);
  });

  test('shows the API reference from its own files only', async () => {
    const page = await api.get('/api/docs');
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(String(page.body)).not.toMatch(/https?:\/\//);
    for (const [, path] of String(page.body).matchAll(/(?:src|href)="([^"]+)"/g))
      expect([path, (await api.get(path as string)).status]).toEqual([path, 200]);
    expect((await api.get('/api/docs/../../package.json')).status).toBe(404);
    expect((await api.get('/api/docs/swagger-ui-bundle.js.map')).status).toBe(404);
  });
});

describe('S044 a page of another origin', () => {
  const preflight = (origin: string) =>
    fetch(`${gateway.url}/api/auth/me`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST' },
    });

  test('may call only when it is named', async () => {
    const named = await preflight('https://app.example.test');
    expect(named.status).toBe(204);
    expect(named.headers.get('access-control-allow-origin')).toBe('https://app.example.test');
    expect(named.headers.get('access-control-allow-headers')).toContain('authorization');
    expect(named.headers.get('access-control-allow-headers')).toContain('x-requested-with');
    expect(named.headers.get('access-control-allow-credentials')).toBe('true');

    for (const origin of [
      'https://app.example.test.evil.test',
      'https://appXexample.test',
      'http://app.example.test',
      'https://app.example.test:444',
      'null',
      'http://localhost:3000',
      'https://evil.test',
    ]) {
      const refused = await preflight(origin);
      expect([origin, refused.status]).toEqual([origin, 403]);
      expect(refused.headers.get('access-control-allow-origin')).toBeNull();
    }
  });

  test('changes nothing', async () => {
    const before = house.auth.requests.length;
    const statuses = await Promise.all([
      api.post('/api/auth/login', {}, { origin: 'https://evil.test' }),
      api.post('/api/auth/login', 'x', { origin: 'null', 'content-type': 'text/plain' }),
      api.post('/api/auth/login', {}, { 'sec-fetch-site': 'cross-site' }),
    ]);
    expect(statuses.map(({ status }) => status)).toEqual([403, 403, 403]);
    expect(house.auth.requests.length).toBe(before);

    const fine = await api.post('/api/auth/login', {}, { origin: 'https://app.example.test' });
    expect(fine.status).toBe(200);
    expect(fine.headers.get('access-control-allow-origin')).toBe('https://app.example.test');
    expect(fine.headers.get('vary')).toContain('Origin');
    const own = await api.post('/api/auth/login', {}, { origin: 'https://gatehouse.test' });
    expect(own.status).toBe(200);
  });
});

describe('what is seen of it', () => {
  test('refusals with a credential are recorded, with request id and address; anonymous ones are not', async () => {
    const id = 'a'.repeat(32);
    const from = { 'x-forwarded-for': '203.0.113.77', 'x-request-id': id, 'user-agent': 'evil\u0001\u0002 agent' };
    await api.get('/api/auth/me', { 'x-forwarded-for': '203.0.113.78' });
    await rawRequest(
      gateway.port,
      `GET /api/auth/me HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer x.y.z\r\nx-forwarded-for: ${from['x-forwarded-for']}\r\nx-request-id: ${id}\r\n\r\n`,
    );

    const events = await eventually(async () => {
      const all = (await house.events()).filter(({ address }) => address.startsWith('203.0.113.7'));
      return all.length > 0 ? all : undefined;
    });
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      type: 'access.denied.v1',
      kind: 'access',
      outcome: 'denied',
      request_id: id,
      actor: { kind: 'anonymous' },
      data: { method: 'GET', route: '/api/auth/*', status: 401, code: 'auth.required', reason: 'bad_credential' },
    });
  });

  test('metrics are bounded however many paths, methods and addresses there are', async () => {
    const user = house.user();
    const ask = (i: number) =>
      Promise.all([
        api.get(`/nothing/${i}`, { 'x-forwarded-for': `198.18.${i >> 8}.${i & 255}` }),
        api.get(`/api/standalone/example/${i}`, user.headers),
        api.get(`/api/standalone/unknown-${i}/x`, user.headers),
      ]);
    await ask(0);
    const series = async () =>
      (await gateway.metrics()).split('\n').filter((line) => line && !line.startsWith('#')).length;
    const before = await series();
    for (let i = 1; i < 300; i++) await ask(i);

    expect((await series()) - before).toBeLessThan(50);
    const text = await gateway.metrics();
    expect(text).toContain('http_requests_total{method="GET",route="/api/standalone/:upstream/*",status="200"} 300');
    expect(text).toContain('http_requests_total{method="GET",route="__unmatched__",status="404"}');
    expect(text).toMatch(/authz_decisions_total\{decision="allow",reason="ok"\} [1-9]/);
    expect(text).toMatch(
      /upstream_request_duration_seconds_count\{server_address="example",method="GET",status="200",error_type=""\} 300/,
    );
    expect(text).toMatch(/gateway_jwks_age_seconds \d/);
    expect(text).toContain('audit_dropped_total 0');
  });
});
