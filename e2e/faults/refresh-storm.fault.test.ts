import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { deriveKey, seal } from '@gatehouse/kit/crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Pool } from 'undici';
import { readSecret } from '../../dev/src/secrets.ts';
import { encodeRefreshToken } from '../../services/auth/src/tokens/refresh-tokens.ts';
import { house, query } from '../house/house.ts';
import { type Scene, startScene } from './scene.ts';

const CLIENTS = 5_000;
const SERVED_WITHIN_MS = 10_000;

let scene: Scene;
let tokens: string[];
beforeAll(async () => {
  scene = await startScene({ skip: ['nginx', 'mailbox', 'upstream'] });
  tokens = await openSessions();
}, 90_000);
afterAll(() => scene.close(), 60_000);

/** Sessions as so many sign-ins would have left them; the tokens are what their clients hold. */
async function openSessions(): Promise<string[]> {
  const kek = deriveKey(readSecret(house().secretsDir, 'JWT_SECRET'), 'session keys');
  const sessions = Array.from({ length: CLIENTS }, () => {
    const [id, userId, key] = [randomUUID(), randomUUID(), randomBytes(32)];
    const sealed = seal(kek, key, `auth.sessions.key_sealed:${id}:${userId}`);
    return { id, userId, sealed, token: encodeRefreshToken({ session_id: id, generation: 0 }, key) };
  });
  const columns = [sessions.map(({ id }) => id), sessions.map(({ userId }) => userId)] as const;
  await query(
    `insert into auth.users (id, email, name, role, created_at, updated_at)
     select id, id || '@storm.test', 'Storm', 'user', now(), now() from unnest($1::uuid[]) id`,
    [columns[1]],
  );
  await query(
    `insert into auth.sessions (id, user_id, key_sealed, rotated_at, device, address, created_at, last_used_at,
                                idle_expires_at, expires_at)
     select s.id, s.user_id, s.key_sealed, now() - interval '1 hour', 'Storm', '192.0.2.1', now() - interval '1 hour',
       now() - interval '1 hour', now() + interval '1 day', now() + interval '1 day'
     from unnest($1::uuid[], $2::uuid[], $3::bytea[]) as s (id, user_id, key_sealed)`,
    [...columns, sessions.map(({ sealed }) => sealed)],
  );
  return sessions.map(({ token }) => token);
}

/** A client that asks until it is served, as long as it is told to come again. */
async function refreshed(pool: Pool, token: string, client: number, start: number): Promise<Outcome> {
  const refusals: number[] = [];
  while (performance.now() - start < 2 * SERVED_WITHIN_MS) {
    const { statusCode, headers, body } = await pool.request({
      path: '/api/auth/refresh',
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-forwarded-for': `10.${client >> 16}.${(client >> 8) & 255}.${client & 255}`,
      },
      body: JSON.stringify({ refresh_token: token }),
    });
    const answer = (await body.json()) as { refresh_token?: string };
    if (statusCode === 200) return { servedMs: performance.now() - start, refusals, successor: answer.refresh_token };
    refusals.push(statusCode);
    const retryAfter = Number(headers['retry-after']);
    if (!(statusCode === 503 || statusCode === 429) || !retryAfter) break;
    await delay(retryAfter * 1000 * (0.5 + Math.random()));
  }
  return { servedMs: Number.POSITIVE_INFINITY, refusals, successor: undefined };
}

interface Outcome {
  servedMs: number;
  refusals: number[];
  successor: string | undefined;
}

/** The most connections that auth had to Postgres at any moment, looked at every 50 ms. */
function watchConnections() {
  let most = 0;
  let stopped = false;
  const watching = (async () => {
    while (!stopped) {
      const [row] = await query<{ count: number }>(
        `select count(*)::integer as count from pg_stat_activity where usename = 'gatehouse_auth'`,
      );
      most = Math.max(most, row?.count ?? 0);
      await delay(50);
    }
  })();
  return async () => {
    stopped = true;
    await watching;
    return most;
  };
}

test('F40: five thousand clients refresh in the second after a restart, and are served within ten', async () => {
  const gateway = scene.platform.process('gateway');
  await Promise.all(['gateway', 'auth'].map((name) => scene.kill(name)));
  await Promise.all(['auth', 'gateway'].map((name) => scene.revive(name)));
  const connections = watchConnections();
  const pool = new Pool(gateway.url, { connections: CLIENTS, pipelining: 1, headersTimeout: 20_000 });

  const start = performance.now();
  const outcomes = await Promise.all(
    tokens.map(async (token, client) => {
      await delay(Math.random() * 1000);
      return refreshed(pool, token, client, start);
    }),
  );
  await pool.close();
  const most = await connections();

  const served = outcomes.filter(({ servedMs }) => servedMs <= SERVED_WITHIN_MS).length;
  const last = Math.max(...outcomes.map(({ servedMs }) => servedMs));
  const statuses = Map.groupBy(
    outcomes.flatMap(({ refusals }) => refusals),
    (status) => status,
  );
  const refused = [...statuses].map(([status, all]) => `${all.length} x ${status}`).join(', ');
  process.stdout.write(
    `  F40: ${served} of ${CLIENTS} served within 10 s, the last after ${Math.round(last)} ms; refused meanwhile: ` +
      `${refused || 'none'}; at most ${most} connections of auth\n`,
  );
  expect(served).toBeGreaterThanOrEqual(0.99 * CLIENTS);
  expect(most).toBeLessThanOrEqual(Number(house().settings['AUTH_POOL_MAX']));
  // One rotation each, and nobody got what is another's.
  expect(new Set(outcomes.map(({ successor }) => successor)).size).toBe(outcomes.filter((one) => one.successor).length);
  const [row] = await query<{ rotated: number }>(
    `select count(*)::integer as rotated from auth.sessions s where s.device = 'Storm' and s.generation = 1`,
  );
  expect(row?.rotated).toBeGreaterThanOrEqual(served);
  const [twice] = await query<{ count: number }>(
    `select count(*)::integer as count from auth.sessions s where s.device = 'Storm' and s.generation > 1`,
  );
  expect(twice?.count).toBe(0);
  const metrics = await fetch(`${scene.platform.process('auth').opsUrl}/metrics`).then((answer) => answer.text());
  const jwks = /^http_requests_total\{[^}]*route="\/internal\/jwks"[^}]*\} (\d+)/m.exec(metrics)?.[1] ?? '0';
  expect(Number(jwks)).toBeLessThanOrEqual(1);
}, 60_000);
