import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { closeVisitors, house, query, visitor } from './house/house.ts';
import { company, newKey, signedIn } from './house/people.ts';

// S118, runs last: every password, token and key that this run has used is looked for wherever something was written.
let canaries: string[];

beforeAll(async () => {
  // What clients put into places where it does not belong: a query, a header, a user agent, a path.
  const acme = await company(['owner']);
  const { owner } = acme.people;
  const { key } = await newKey(owner, acme.id);
  const token = owner.client.token ?? '';
  const client = visitor();
  await client.get(`/api/auth/me?access_token=${token}&api_key=${key}`);
  await client.get(`/api/auth/me?password=${owner.password}`);
  await client.get('/api/auth/me', { 'user-agent': `agent ${token} ${key}`, 'x-request-id': key.slice(0, 60) });
  await client.get(`/api/proxy/example/${key}`, { 'x-api-key': key });
  await client.post('/api/auth/login', { email: owner.email, password: `${owner.password}x` });
  await client.post('/api/auth/refresh', { refresh_token: `${owner.refreshToken}x` });
  await signedIn(owner);

  const written = new Set(readFileSync(join(house().dataDir, 'canaries'), 'utf8').split('\n').filter(Boolean));
  for (const name of readdirSync(house().secretsDir)) {
    // The public half is public.
    if (name === 'IDENTITY_PUBLIC_KEYS') continue;
    const secret = readFileSync(join(house().secretsDir, name), 'utf8').trim();
    written.add(secret.includes('\n') ? (secret.split('\n')[1] ?? '') : secret);
  }
  canaries = [...written].filter((secret) => secret.length >= 12);
}, 60_000);
afterAll(closeVisitors);

/** Which canaries a text holds; shortened, since the report of a test is a log as well. */
function heldBy(text: string): string[] {
  return canaries.filter((canary) => text.includes(canary)).map((canary) => `${canary.slice(0, 10)}...`);
}

test('the run has used secrets enough to say something', () => {
  expect(canaries.length).toBeGreaterThan(20);
});

test('S118: no log holds one, and every line of ours is one object', () => {
  const { logDir } = house();
  const held: Record<string, string[]> = {};
  for (const name of readdirSync(logDir)) {
    const text = readFileSync(join(logDir, name), 'utf8');
    const found = heldBy(text);
    // Whatever looks like a signed token has no business there either.
    const tokens = text.match(/eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}/g) ?? [];
    if (found.length + tokens.length > 0) held[name] = [...found, ...tokens.map((token) => `${token.slice(0, 16)}...`)];
    if (/^(auth|org|audit|worker|gateway|nginx-access)\.log$/.test(name))
      for (const line of text.split('\n').filter(Boolean)) expect(() => JSON.parse(line)).not.toThrow();
  }
  expect(held).toEqual({});
});

test('S118: Redis holds none, in no key and no value', async () => {
  const redis = new Redis(house().redisUrl);
  const held: Record<string, string[]> = {};
  let cursor = '0';
  do {
    const [next, keys] = await redis.scan(cursor, 'COUNT', 500);
    cursor = next;
    for (const key of keys) {
      const found = heldBy(`${key} ${await contentOf(redis, key)}`);
      if (found.length > 0) held[key] = found;
    }
  } while (cursor !== '0');
  redis.disconnect();
  expect(held).toEqual({});
});

test('S118: Postgres holds none in plain, in no row of any table', async () => {
  const tables = await query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname not in ('pg_catalog', 'information_schema')`,
  );
  expect(tables.length).toBeGreaterThan(8);
  const held: Record<string, string[]> = {};
  for (const { name } of tables) {
    const rows = await query<{ row: string }>(`select t::text as row from ${name} t`);
    const text = rows.map(({ row }) => row).join('\n');
    const inHex = canaries.filter((canary) => text.includes(Buffer.from(canary).toString('hex')));
    const found = [...heldBy(text), ...inHex.map((canary) => `${canary.slice(0, 10)}... (hex)`)];
    if (found.length > 0) held[name] = found;
  }
  expect(held).toEqual({});
});

async function contentOf(redis: Redis, key: string): Promise<string> {
  switch (await redis.type(key)) {
    case 'string':
      return (await redis.get(key)) ?? '';
    case 'hash':
      return JSON.stringify(await redis.hgetall(key));
    case 'list':
      return JSON.stringify(await redis.lrange(key, 0, -1));
    case 'set':
      return JSON.stringify(await redis.smembers(key));
    case 'zset':
      return JSON.stringify(await redis.zrange(key, '0', '-1', 'WITHSCORES'));
    case 'stream':
      return JSON.stringify(await redis.xrange(key, '-', '+'));
    default:
      return '';
  }
}
