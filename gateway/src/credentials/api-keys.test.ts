import { randomUUID } from 'node:crypto';
import { apiKeyChecksum } from '@gatehouse/contracts/api-keys';
import type { ApiKeyFact } from '@gatehouse/contracts/facts';
import { eventually } from '@gatehouse/testkit/eventually';
import { type Client, client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type House, newKey, rawRequest, testHouse } from '../testing.ts';

let house: House;
let gateway: Awaited<ReturnType<House['start']>>;
let api: Client;
let org: string;
beforeAll(async () => {
  house = await testHouse();
  gateway = await house.start();
  api = client(gateway.url);
  org = house.organization();
});
afterAll(() => house.close());

const TARGET = '/api/proxy/example/items';
const status = async (headers: Record<string, string>, path = TARGET) => (await api.get(path, headers)).status;
const raw = async (request: string, headers: string, port = gateway.port) => {
  const answer = await rawRequest(port, `${request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers}\r\n\r\n`);
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
};

describe('where a key is looked for', () => {
  test('S089: in X-API-Key or as a bearer token, and nowhere else', async () => {
    const { key } = house.apiKey(org);
    const basic = Buffer.from(`${key}:`).toString('base64');

    expect(await status({ 'x-api-key': key })).toBe(200);
    expect(await status({ authorization: `bearer ${key}` })).toBe(200);
    const elsewhere: Record<string, string>[] = [
      { authorization: key },
      { authorization: `Basic ${basic}` },
      { authorization: `ApiKey ${key}` },
      { cookie: `api_key=${key}` },
      { 'api-key': key },
      { 'x-auth-token': key },
    ];
    for (const headers of elsewhere) expect([headers, await status(headers)]).toEqual([headers, 401]);
    for (const name of ['api_key', 'key', 'access_token', 'x-api-key'])
      expect(await status({}, `${TARGET}?${name}=${key}`)).toBe(401);
  });

  test('S091: never reaches what is behind the gateway', async () => {
    const { key, headers } = house.apiKey(org);
    await api.get(TARGET, headers);
    await api.get('/api/standalone/example/items', { authorization: `Bearer ${key}` });
    for (const seen of house.upstream.requests.slice(-2)) expect(JSON.stringify(seen)).not.toContain(key);
  });

  test('S091: is one word: what stands around it is no part of it, and what is in it spoils it', async () => {
    const { key } = house.apiKey(org);
    const get = `GET ${TARGET}`;
    // HTTP has no space around a value (RFC 9110, section 5.5).
    expect(await raw(get, `x-api-key:   ${key} \t`)).toBe(200);
    const odd = [
      `x-api-key: ${key} ${key}`,
      `x-api-key: ${key},${key}`,
      `x-api-key: ${key.slice(0, 20)} ${key.slice(20)}`,
      `x-api-key: "${key}"`,
      `x-api-key: ${key}\u00a0`,
      `x-api-key: \u00a0${key}`,
      `x-api-key: ${key.toUpperCase()}`,
      `authorization: Bearer  ${key}`,
      `authorization: Bearer\t${key}`,
      `authorization: Bearer ${key} ${key}`,
      'x-api-key:',
      'authorization: Bearer ',
    ];
    for (const header of odd) expect([header, await raw(get, header)]).toEqual([header, 401]);
  });

  test('S089: beside another credential is refused, whosever it is; the record names nobody', async () => {
    const { key } = house.apiKey(org);
    const other = house.apiKey(house.organization());
    const user = house.user({ org_id: org });
    const pairs: Record<string, string>[] = [
      { ...user.headers, 'x-api-key': other.key, 'x-org-id': org },
      { ...user.headers, 'x-api-key': key, 'x-org-id': org },
      { authorization: `Bearer ${key}`, 'x-api-key': other.key },
      { authorization: `Bearer ${newKey()}`, 'x-api-key': key },
      { authorization: 'Bearer x', 'x-api-key': key },
    ];
    const refused = [];
    for (const headers of pairs) refused.push(await api.get(TARGET, headers));
    expect(refused.map((answer) => answer.status)).toEqual(pairs.map(() => 400));
    const ids = refused.map(({ body }) => body.request_id);
    const events = await eventually(async () => {
      const recorded = (await house.events()).filter(({ request_id }) => ids.includes(request_id));
      return recorded.length === ids.length ? recorded : undefined;
    });
    for (const { actor } of events) expect(actor).toEqual({ kind: 'anonymous' });
    // One key by both ways is one key.
    expect(await status({ authorization: `Bearer ${key}`, 'x-api-key': key })).toBe(200);
  });
});

describe('S090: a key that ended', () => {
  test('counts no moment longer than its expiry says, with a warm cache', async () => {
    const second = await house.start();
    const { headers } = house.apiKey(org, { expires_at: new Date(Date.now() + 500).toISOString() });
    const ask = (url: string) => client(url).get(TARGET, headers);
    for (const { url } of [gateway, second]) expect((await ask(url)).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 520));
    for (const { url } of [gateway, second]) expect((await ask(url)).status).toBe(401);
  });

  test('ends at the end of its overlap; its successors go on', async () => {
    const overlap = (ms: number) => ({ expires_at: new Date(Date.now() + ms).toISOString() });
    const chain = [house.apiKey(org, overlap(-1)), house.apiKey(org, overlap(60_000)), house.apiKey(org)];
    expect(await Promise.all(chain.map(({ headers }) => status(headers)))).toEqual([401, 200, 200]);
  });

  test('is told from one that never was by nothing', async () => {
    const ended = [
      house.apiKey(org, { active: false }),
      house.apiKey(org, { expires_at: new Date(Date.now() - 1).toISOString() }),
      house.apiKey(house.organization({ status: 'deleted' })),
      house.apiKey(house.organization({ status: 'suspended' })),
      house.apiKey(randomUUID()),
    ];
    const unknown = await api.get(TARGET, { 'x-api-key': newKey() });
    expect(unknown.status).toBe(401);
    for (const { headers } of ended) {
      const answer = await api.get(TARGET, headers);
      expect(answer.status).toBe(401);
      expect({ ...answer.body, request_id: '' }).toEqual({ ...unknown.body, request_id: '' });
      expect(answer.headers.get('www-authenticate')).toBe(unknown.headers.get('www-authenticate'));
    }
  });
});

describe('the rules of a key', () => {
  const rules = (...list: [string, string][]): Partial<ApiKeyFact> => ({
    rules: list.map(([method, path]) => ({ method, path })),
  });
  const judged = async (fact: Partial<ApiKeyFact>, method: string, path: string) => {
    const { key } = house.apiKey(org, fact);
    return raw(`${method} ${path}`, `x-api-key: ${key}\r\ncontent-length: 0`);
  };

  test('S087: judge the path in its one spelling', async () => {
    const fact = rules(['GET', '/api/proxy/example/open/*']);
    expect(await judged(fact, 'GET', '/api/proxy/example/open/a')).toBe(200);
    expect(await judged(fact, 'GET', '/v1/proxy/example/open/a')).toBe(200);
    const others: [string, number][] = [
      ['/api/proxy/example/open/../secret', 400],
      ['/api/proxy/example/open/./a', 400],
      ['/api/proxy/example/open/%2e%2e/secret', 400],
      ['/api/proxy/example/open/%2E%2E%2Fsecret', 400],
      ['/api/proxy/example/open/..;/secret', 400],
      ['/api/proxy/example/open/..\\secret', 400],
      ['/api/proxy/example/open//../secret', 400],
      ['//api/proxy/example/open/a', 400],
      ['/api/proxy/example/%6fpen/a', 400],
      ['/api/proxy/../proxy/example/open/a', 400],
      ['/api/proxy/example/openly', 403],
      ['/api/proxy/example/open', 403],
      ['/api/proxy/example/OPEN/a', 403],
      ['/api/proxy/example/secret?/api/proxy/example/open/a', 403],
      ['/api/standalone/example/open/a', 403],
      ['/api/auth/me', 403],
    ];
    for (const [path, expected] of others) expect([path, await judged(fact, 'GET', path)]).toEqual([path, expected]);
  });

  test('S087: a rule for GET is one for HEAD, and none for what changes something', async () => {
    const fact = rules(['GET', TARGET]);
    expect(await judged(fact, 'HEAD', TARGET)).toBe(200);
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
      expect([method, await judged(fact, method, TARGET)]).toEqual([method, 403]);
    expect(await judged(rules(['HEAD', TARGET]), 'GET', TARGET)).toBe(403);
    expect(await judged(rules(['*', TARGET]), 'DELETE', TARGET)).toBe(200);
    // Nothing that a client says of the method beside it counts.
    const { key } = house.apiKey(org, fact);
    const override = `x-api-key: ${key}\r\nx-http-method-override: GET\r\nx-method-override: GET\r\ncontent-length: 0`;
    expect(await raw(`DELETE ${TARGET}`, override)).toBe(403);
  });

  test('S087: an address is judged as it is, however it is written in the list or on the way', async () => {
    const from = (addresses: string[], address: string) =>
      status({ ...house.apiKey(org, { addresses }).headers, 'x-forwarded-for': address });
    const cases: [string[], string, number][] = [
      [['192.0.2.7'], '192.0.2.7', 200],
      [['192.0.2.7'], '::ffff:192.0.2.7', 200],
      [['192.0.2.7'], '::ffff:c000:207', 200],
      [['::ffff:192.0.2.7'], '192.0.2.7', 200],
      [['::ffff:192.0.2.0/120'], '192.0.2.9', 200],
      [['::ffff:192.0.2.0/120'], '192.0.3.9', 403],
      [['192.0.2.0/24'], '::ffff:192.0.3.1', 403],
      [['2001:db8::/32'], '2001:0DB8:0:0::1', 200],
      [['2001:db8::/32'], '2001:db9::1', 403],
      // Every IPv6 address, and none of IPv4.
      [['::/0'], '192.0.2.7', 403],
      [['0.0.0.0/0'], '2001:db8::1', 403],
      // What does not read as a network lets nobody in; it does not let everybody in.
      [['nonsense'], '192.0.2.7', 403],
      [['192.0.2.0/33', '::ffff:192.0.2.0/24'], '192.0.2.7', 403],
    ];
    for (const [list, address, expected] of cases)
      expect([list, address, await from(list, address)]).toEqual([list, address, expected]);
    const { headers } = house.apiKey(org, { addresses: ['192.0.2.7'] });
    // Only our proxy says where somebody comes from, and it says one address.
    expect(await status({ ...headers, 'x-forwarded-for': '192.0.2.7, 203.0.113.9' })).toBe(403);
    expect(await status({ ...headers, 'x-real-ip': '192.0.2.7', forwarded: 'for=192.0.2.7' })).toBe(403);
  });

  test('S089: a key acts for its own organization, whatever the request says', async () => {
    const { headers, fact } = house.apiKey(org);
    const other = house.organization();
    expect(await status({ ...headers, 'x-org-id': org })).toBe(200);
    expect(await status({ ...headers, 'x-org-id': other })).toBe(400);
    expect(await status({ ...headers, 'x-org-id': other }, '/api/standalone/example/x')).toBe(400);
    expect(await status({ ...headers, 'x-org-id': fact.key_id })).toBe(400);
    expect(await status(headers, `/api/org/${org}`)).toBe(403);
  });
});

describe('S091: guesses', () => {
  const guesser = async (address: string) => {
    const limited = await house.start({ settings: { LIMIT_ADDRESS_MINUTE: '600' } });
    return client(limited.url, { 'x-forwarded-for': address });
  };
  const tally = async (keys: string[], from: Client) => {
    const counts = new Map<number, number>();
    for (let i = 0; i < keys.length; i += 50) {
      const batch = keys.slice(i, i + 50).map((key) => from.get(TARGET, { 'x-api-key': key }));
      for (const answer of await Promise.all(batch)) counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1);
    }
    return Object.fromEntries(counts);
  };

  test('1,000 keys of the right form and no right checksum are refused without a question, then with 429', async () => {
    const keys = Array.from({ length: 1_000 }, () => newKey()).map(
      (key) => key.slice(0, -6) + apiKeyChecksum(`${key}!`),
    );
    const asked = house.owned.asked.length;
    expect(await tally(keys, await guesser('198.51.100.81'))).toEqual({ 401: 600, 429: 400 });
    expect(house.owned.asked.length).toBe(asked);
  });

  test('1,000 keys that could be ours cost a question each within the quota, and none beyond it', async () => {
    const asked = house.owned.asked.length;
    const keys = Array.from({ length: 1_000 }, newKey);
    expect(await tally(keys, await guesser('198.51.100.82'))).toEqual({ 401: 600, 429: 400 });
    expect(house.owned.asked.length - asked).toBe(600);
  });
});
