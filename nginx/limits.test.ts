import { afterEach, describe, expect, test } from '@jest/globals';
import { type Edge, type EdgeOptions, startEdge } from './test-edge.ts';

const LIMITS = { apiRate: '10r/s', apiBurst: 40, loginRate: '5r/m', loginBurst: 4 };
let edge: Edge | undefined;
afterEach(() => edge?.stop());

async function limited(options: EdgeOptions = {}): Promise<Edge> {
  edge = await startEdge({ settings: LIMITS, ...options });
  return edge;
}

const login = (path: string, headers: Record<string, string> = {}) => ({ path, method: 'POST', body: '{}', headers });

async function statuses(edge: Edge, sends: { path: string; method?: string }[]): Promise<number[]> {
  const answers: number[] = [];
  for (const { path, ...send } of sends) answers.push((await edge.send(path, send)).status);
  return answers;
}

describe('sign-ins', () => {
  test('S097 the sixth is refused, whatever address the client claims', async () => {
    const edge = await limited();
    const claims = Array.from({ length: 20 }, (_, index) => {
      const address = `10.0.0.${index}`;
      return login('/api/auth/login', {
        'x-forwarded-for': address,
        'x-real-ip': address,
        forwarded: `for=${address}`,
        'true-client-ip': address,
        'cf-connecting-ip': address,
      });
    });

    const answers = await statuses(edge, claims);

    expect(answers).toEqual([...Array(5).fill(200), ...Array(15).fill(429)]);
    expect(edge.captured.map(({ headers }) => headers['x-forwarded-for'])).toEqual(Array(5).fill('127.0.0.1'));
  });

  test('S100 every spelling that is let through falls into the same bucket', async () => {
    const edge = await limited();
    const spellings = [
      '/api/auth/login',
      '/v1/auth/login',
      '/api/auth/login/',
      '/api/auth/LOGIN',
      '/api/auth/login?x=1',
    ];
    await statuses(
      edge,
      spellings.map((path) => login(path)),
    );

    const answers = await statuses(
      edge,
      [...spellings, '/API/auth/login'].map((path) => login(path)),
    );

    expect(answers).toEqual([429, 429, 429, 429, 429, 404]);
  });

  test('a preflight of a browser is none', async () => {
    const edge = await limited();

    const answers = await statuses(edge, Array(8).fill({ path: '/api/auth/login', method: 'OPTIONS' }));

    expect(answers).toEqual(Array(8).fill(200));
  });

  test('the refusal says when to come back', async () => {
    const edge = await limited();
    await statuses(edge, Array(5).fill(login('/api/auth/login')));

    const { status, headers, body } = await edge.send('/v1/auth/login', { method: 'POST', body: '{}' });

    expect(status).toBe(429);
    expect(headers).toMatchObject({
      'retry-after': '12',
      'ratelimit-policy': '"login";q=5;w=60',
      ratelimit: '"login";r=0;t=12',
      'x-ratelimit-limit': '5',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': '12',
    });
    expect(JSON.parse(body)).toMatchObject({ status: 429, code: 'rate_limited' });
  });
});

describe('the API', () => {
  test('takes a burst and then 10 in a second, per address', async () => {
    const edge = await limited();
    const burst = (localAddress: string) =>
      Promise.all(Array.from({ length: 70 }, () => edge.send('/api/orgs', { localAddress })));

    const [mine, theirs] = await Promise.all([burst('127.0.0.1'), burst('127.0.0.2')]);

    for (const answers of [mine, theirs]) {
      const passed = answers.filter(({ status }) => status === 200).length;
      expect(passed).toBeGreaterThanOrEqual(41);
      // What the burst took plus what trickled in while it ran.
      expect(passed).toBeLessThan(65);
    }
    const refused = mine.find(({ status }) => status === 429);
    expect(refused?.headers).toMatchObject({ 'retry-after': '1', 'ratelimit-policy': '"api";q=10;w=1' });
  });

  test('S099 counts an IPv6 network as one, and an IPv4 address once in either spelling', async () => {
    // The test says which address a request comes from, which only an addition to the configuration allows.
    const edge = await limited({
      settings: { ...LIMITS, apiRate: '1r/m', apiBurst: 1 },
      amend: (files) => {
        files['limits.conf'] += 'set_real_ip_from 127.0.0.1; real_ip_header X-Test-Address;\n';
      },
    });
    const from = async (...addresses: string[]) =>
      statuses(
        edge,
        addresses.map((address) => ({ path: '/api/x', headers: { 'x-test-address': address } })),
      );

    expect(await from('2001:db8::1', '2001:DB8:0:0:9::2', '2001:db8::ffff:1')).toEqual([200, 200, 429]);
    expect(await from('2001:db8:0:1::1')).toEqual([200]);
    expect(await from('192.0.2.1', '::ffff:192.0.2.1', '::ffff:c000:201')).toEqual([200, 200, 429]);
    expect(await from('192.0.2.2')).toEqual([200]);
  });
});
