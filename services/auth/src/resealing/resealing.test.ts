import { open } from '@gatehouse/kit/crypto';
import { transaction } from '@gatehouse/kit/db';
import { createLogger } from '@gatehouse/kit/log';
import { eventually } from '@gatehouse/testkit/eventually';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Config } from '../config.ts';
import { challenge, person, verify, withTotp } from '../factors/test-factors.ts';
import { aadOf } from '../sessions/sessions.ts';
import { lockSession } from '../sessions/store.ts';
import { type AuthUnderTest, type Instance, isActive, SETTINGS, signedIn, startAuth } from '../testing.ts';
import { NOTHING_LEFT, nothingLeft, resealRound, startResealing } from './resealing.ts';
import { updateSessions } from './store.ts';

const OLD = SETTINGS.JWT_SECRET;
const NEXT = 'q7Rz2Kx9Vn4Lm6Tb1Wc8Hd3Jf5Gs0PyA';
const PREPARED: Partial<Config> = { JWT_SECRET_ALTERNATE: NEXT };
const SWAPPED: Partial<Config> = { JWT_SECRET: NEXT, JWT_SECRET_ALTERNATE: OLD };
const DROPPED: Partial<Config> = { JWT_SECRET: NEXT };

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const refresh = (refresh_token: string, instance: Pick<Instance, 'anonymous'> = auth) =>
  instance.anonymous.post('/api/auth/refresh', { refresh_token });

async function resealAll(instance: Instance, options?: Parameters<typeof resealRound>[1]) {
  for (let round = 0; round < 10; round++) if (nothingLeft(await resealRound(instance.deps, options))) return;
  throw new Error('something is left after ten rounds');
}

interface Sealed {
  id: string;
  user_id: string;
  key_sealed: Buffer;
}
const sessions = () => auth.rows<Sealed>('select id, user_id, key_sealed from auth.sessions order by id');

async function sealedWith(instance: Instance): Promise<number> {
  const key = instance.deps.secrets.sessions[0];
  const opens = ({ id, user_id, key_sealed }: Sealed) => {
    try {
      open(key, key_sealed, aadOf(id, user_id));
      return true;
    } catch {
      return false;
    }
  };
  return (await sessions()).filter(opens).length;
}

describe('F41 while JWT_SECRET is replaced', () => {
  let swapped: Instance;
  // Each test begins with everything sealed with the old one.
  beforeEach(async () => {
    await resealAll(await auth.another({ JWT_SECRET_ALTERNATE: NEXT }));
    swapped = await auth.another(SWAPPED);
  });

  test('everything that lasts is sealed anew, and what was there before opens without the old secret', async () => {
    const one = await withTotp(auth, await person(auth));
    const { session, token } = await signedIn(auth);
    const pending = await person(auth);
    const begun = await pending.session.post('/api/auth/factors/totp');
    expect(begun.status).toBe(201);
    const first = await resealRound(swapped.deps);
    expect(first.totp_seed?.resealed).toBeGreaterThanOrEqual(2);
    // The signing keys wait until nothing else is left.
    expect(first.signing_key).toBeUndefined();
    await resealAll(swapped);

    const dropped = await auth.another(DROPPED);
    expect(await resealRound(dropped.deps)).toEqual({
      totp_seed: { found: 0, resealed: 0, unreadable: 0 },
      session: { found: 0, resealed: 0, unreadable: 0 },
      signing_key: { found: 0, resealed: 0, unreadable: 0 },
    });
    expect((await refresh(token, dropped)).status).toBe(200);
    expect(await isActive(auth, session.session_id)).toBe(true);
    auth.clock.advance(30_000);
    const asked = await challenge({ ...auth, ...dropped }, one);
    expect((await verify({ ...auth, ...dropped }, asked, 'totp', one.code())).status).toBe(200);
  });

  test('who drops the old secret too early is refused at the start, as with a wrong one', async () => {
    await withTotp(auth, await person(auth));
    await expect(auth.another(DROPPED)).rejects.toThrow(/JWT_SECRET: does not open the signing keys/);
    await resealRound(swapped.deps);
    await expect(auth.another(DROPPED)).rejects.toThrow(/JWT_SECRET/);
    await resealAll(swapped);
    await auth.another(DROPPED);
    // The key that signs next is opened too: here an instance that still has the old one first has made it.
    const prepared = await auth.another(PREPARED);
    await prepared.deps.keyring.maintain({ force: true });
    await expect(auth.another(DROPPED)).rejects.toThrow(/JWT_SECRET: does not open the signing keys/);
  });

  test('a batch at a time, cut off in the middle and taken up again', async () => {
    for (let n = 0; n < 7; n++) await signedIn(auth);
    const cut = new AbortController();
    const round = resealRound(swapped.deps, { batch: 2, pauseMs: 100, signal: cut.signal });
    await eventually(async () => (await sealedWith(swapped)) > 0);
    cut.abort();
    await expect(round).rejects.toThrow();
    const done = await sealedWith(swapped);
    expect(done).toBeLessThan((await sessions()).length);
    await resealAll(swapped, { batch: 2, pauseMs: 0 });
    expect(await sealedWith(swapped)).toBe((await sessions()).length);
  });

  test('by two instances at once, under refreshes and ends, no change is lost', async () => {
    const other = await auth.another(SWAPPED);
    const people = await Promise.all(Array.from({ length: 12 }, () => signedIn(auth)));
    const ended = people.slice(0, 4);
    const [, , ...tokens] = await Promise.all([
      resealAll(swapped, { batch: 3, pauseMs: 0 }),
      resealAll(other, { batch: 3, pauseMs: 0 }),
      ...people.slice(4).map(async ({ token }) => {
        let current = token;
        for (let n = 0; n < 10; n++) current = (await refresh(current, n % 2 ? swapped : other)).body.refresh_token;
        return current;
      }),
      ...ended.map(({ session }) => session.post('/api/auth/logout')),
    ]);
    const dropped = await auth.another(DROPPED);
    for (const token of tokens.slice(0, 8)) expect((await refresh(token as string, dropped)).status).toBe(200);
    for (const { session, token } of ended) {
      expect(await isActive(auth, session.session_id)).toBe(false);
      expect((await refresh(token, dropped)).body.code).toBe('auth.session_ended');
    }
  });

  test('a row that changed since it was read keeps its change, and one that is in use is passed over', async () => {
    const { session } = await signedIn(auth);
    const id = session.session_id;
    const stored = async () => (await sessions()).find((row) => row.id === id)?.key_sealed as Buffer;
    const old = await stored();
    const [later, sealed] = [Buffer.from('later'), Buffer.from('sealed anew')];
    await auth.rows('update auth.sessions set key_sealed = $2 where id = $1', [id, later]);
    expect(await updateSessions(auth.deps.pool, [{ id, old, sealed }])).toBe(0);
    expect(await stored()).toEqual(later);

    await transaction(auth.deps.pool, async (tx) => {
      await lockSession(tx, id);
      expect(await updateSessions(auth.deps.pool, [{ id, old: later, sealed }])).toBe(0);
    });
    expect(await updateSessions(auth.deps.pool, [{ id, old: later, sealed }])).toBe(1);
    expect(await stored()).toEqual(sealed);
    // It opens with neither secret now: counted, told, and no reason to wait for ever.
    expect((await resealRound(swapped.deps)).session?.unreadable ?? 1).toBe(1);
    await auth.rows('update auth.sessions set key_sealed = $2 where id = $1', [id, old]);
  });

  test('the guesses that were counted stay counted, whichever secret an instance has first', async () => {
    const user = await auth.user();
    const wrong = (instance: Instance) =>
      instance.anonymous.post('/api/auth/login', { email: user.email, password: 'a wrong password indeed' });
    const instances = [auth, await auth.another(PREPARED), swapped];
    const statuses: number[] = [];
    for (let n = 0; n < 9; n++) statuses.push((await wrong(instances[n % 3] as Instance)).status);
    expect(statuses.filter((status) => status === 401)).toHaveLength(auth.deps.config.LOGIN_ACCOUNT_NETWORK_BUDGET);
    expect(statuses.at(-1)).toBe(429);
  });

  test('a code and a challenge of before count after', async () => {
    const one = await withTotp(auth, await person(auth));
    auth.clock.advance(30_000);
    const token = await challenge(auth, one);
    expect((await verify({ ...auth, ...swapped }, token, 'totp', one.code())).status).toBe(200);
  });
});

test('F41 the operator is told by a gauge and by the log when the alternate may go', async () => {
  const lines: string[] = [];
  const log = createLogger({ service: 'auth', version: 'test', environment: 'development', level: 'info' });
  log.info = ((message: string) => {
    lines.push(message);
    return log;
  }) as typeof log.info;
  await signedIn(auth);
  const swapped = await auth.another(SWAPPED);
  const working = startResealing({ ...swapped.deps, log }, { againMs: 1, pauseMs: 0, checkMs: 20 });
  expect(await swapped.metrics()).toMatch(/auth_sealed_with_alternate\{kind="session"\} Nan/i);
  await eventually(() => lines.includes(NOTHING_LEFT));
  const metrics = await swapped.metrics();
  for (const kind of ['totp_seed', 'session', 'signing_key'])
    expect(metrics).toContain(`auth_sealed_with_alternate{kind="${kind}"} 0`);
  // Said once, and again when an instance that has the other one first has sealed something since.
  expect(lines.filter((line) => line === NOTHING_LEFT)).toHaveLength(1);
  await signedIn(await sealingWithOld());
  await eventually(() => lines.filter((line) => line === NOTHING_LEFT).length === 2);
  await working.stop();
});

async function sealingWithOld(): Promise<AuthUnderTest> {
  return { ...auth, ...(await auth.another(PREPARED)) };
}
