import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import { hmac, open } from '@gatehouse/kit/crypto';
import { eventually } from '@gatehouse/testkit/eventually';
import type { Answer } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, type Instance, PASSWORD, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

let networks = 0;
/** A network that nobody has tried from before. */
const elsewhere = () => `10.${Math.floor(++networks / 250)}.${networks % 250}.1`;

interface From {
  address?: string;
  cookie?: string | undefined;
  instance?: Instance;
}

const tried = (email: string, password: string, { address = elsewhere(), cookie, instance = auth }: From = {}) =>
  instance
    .as({ kind: 'anonymous' }, { 'x-forwarded-for': address, ...(cookie ? { cookie } : {}) })
    .post('/api/auth/login', { email, password });
const wrong = (email: string, from?: From) => tried(email, 'a wrong password indeed', from);
const right = (email: string, from?: From) => tried(email, PASSWORD, from);

const deviceOf = (answer: Answer) => /__Host-gatehouse_device=[^;]+/.exec(answer.headers.get('set-cookie') ?? '')?.[0];
const bucketOf = (lane: string) => hmac(auth.deps.secrets.budgets, lane);

/** Fails as a stranger, from one network after the other and as soon as it may, until the account is locked. */
async function lock(email: string, tries = auth.deps.config.LOGIN_LOCK_FAILURES): Promise<void> {
  for (let n = 0; n < tries; n++) {
    const early = await wrong(email);
    if (early.status === 429) {
      auth.clock.advance(Number(early.headers.get('retry-after')) * 1000);
      expect((await wrong(email)).status).toBe(401);
    }
  }
}

const failures = async (userId: string, reason: string) =>
  (await auth.events('auth.login_failed.v1')).filter(
    ({ data }) => data['user_id'] === userId && data['reason'] === reason,
  ).length;

async function mailsTo(email: string) {
  const rows = await auth.rows<{ payload: { template: string; params: Record<string, string> }; secret: Buffer }>(
    `select payload, secret from events.jobs where payload ->> 'to' = $1 and payload ->> 'template' = 'sign-in-blocked'`,
    [email],
  );
  return rows.map(({ payload, secret }) => ({
    ...payload,
    token: open(auth.deps.secrets.mail, secret, MAIL_SECRET.aad).toString(),
  }));
}
const unlock = (token: string) => auth.anonymous.post('/api/auth/unlock', { token });

/** What a stranger sees, but for what differs from one answer to the next anyway. */
const seen = ({ status, headers, body }: Answer) => {
  const kept = [...headers].filter(([name]) => !['date', 'x-request-id'].includes(name)).sort();
  return JSON.stringify({ status, headers: kept, body: { ...body, request_id: '' } });
};

describe('S013 a locked account', () => {
  test('answers strangers alike for a right and a wrong password, as an open and an unknown one does', async () => {
    const victim = await auth.user();
    const open = await auth.user();
    await lock(victim.email);

    const answers = [
      await right(victim.email),
      await wrong(victim.email),
      await wrong(open.email),
      await wrong('nobody-here@users.test'),
    ];

    expect(new Set(answers.map(seen)).size).toBe(1);
    expect(answers[0]).toMatchObject({ status: 401, body: { code: 'auth.invalid_credentials' } });
    expect(await failures(victim.id, 'locked')).toBe(2);
  });

  test('counts strangers on as an open one does, so that the pace does not tell either', async () => {
    const victim = await auth.user();
    const open = await auth.user();
    await lock(victim.email);
    const paceOf = async (email: string) => {
      const pace: unknown[] = [];
      for (let n = 0; n < 12; n++) {
        const { status, headers } = await wrong(email);
        pace.push([status, headers.get('retry-after')]);
      }
      return pace;
    };
    expect(await paceOf(victim.email)).toEqual(await paceOf(open.email));
  });

  test('lets the owner in on a device that it knows, however strangers go on', async () => {
    const victim = await auth.user();
    const device = deviceOf(await right(victim.email));
    const address = elsewhere();
    for (let n = 0; n < 5; n++) await wrong(victim.email, { address });
    await lock(victim.email, 15);

    // Also from the very network that the stranger sits in.
    for (const from of [elsewhere(), address])
      expect((await right(victim.email, { cookie: device, address: from })).status).toBe(200);
    expect((await right(victim.email)).status).toBe(401);
  });

  test('a network that has used up its tries does not keep out a device that the account knows', async () => {
    const tight = await auth.another({ LOGIN_NETWORK_BUDGET: 3 });
    const user = await auth.user();
    const device = deviceOf(await right(user.email));
    const address = elsewhere();
    for (let n = 0; n < 3; n++) await wrong(`any${n}@users.test`, { address, instance: tight });
    expect((await right(user.email, { address, instance: tight })).status).toBe(429);
    expect((await right(user.email, { address, instance: tight, cookie: device })).status).toBe(200);
  });

  test('takes a forged cookie and the one of another user’s device for a stranger’s', async () => {
    const victim = await auth.user();
    await right(victim.email);
    const attacker = await auth.user();
    const foreign = deviceOf(await right(attacker.email));
    await lock(victim.email);
    const forged = `__Host-gatehouse_device=${'A'.repeat(43)}`;
    for (const cookie of [foreign, forged, `${foreign}.${'A'.repeat(43)}`])
      expect((await right(victim.email, { cookie })).status).toBe(401);
    expect(await failures(victim.id, 'locked')).toBe(3);
  });

  test('opens again when its time is over, and strangers have their tries anew', async () => {
    const user = await auth.user();
    await lock(user.email);
    auth.clock.advance(900_000 - 1);
    expect((await right(user.email)).status).toBe(401);
    auth.clock.advance(1);
    expect((await wrong(user.email)).status).toBe(401);
    expect((await right(user.email)).status).toBe(200);
  });

  test('is one on every instance, and no lock is prolonged by those who try meanwhile', async () => {
    const user = await auth.user();
    const other = await auth.another();
    await lock(user.email);
    for (let n = 0; n < 25; n++) {
      auth.clock.advance(30_000);
      await wrong(user.email, { instance: n % 2 ? other : auth });
    }
    auth.clock.advance(60_000);
    expect((await right(user.email, { instance: other })).status).toBe(401);
    auth.clock.advance(900_000 - 26 * 30_000 - 30_000);
    expect((await right(user.email, { instance: other })).status).toBe(200);
  });

  test('F23 stays locked when Redis is flushed', async () => {
    const user = await auth.user();
    await lock(user.email);
    await auth.redis.flush();
    expect((await right(user.email)).status).toBe(401);
    expect(await failures(user.id, 'locked')).toBe(1);
  });

  // Guards the single statement of a lane: of many who come for the last try, one gets it.
  test('of fifty who come at one instant for the try that locks, one is judged', async () => {
    const tight = await auth.another({ LOGIN_BUDGET: 1000 });
    const user = await auth.user();
    for (let n = 0; n < 19; n++) await wrong(user.email, { instance: tight });
    await Promise.all(Array.from({ length: 50 }, () => wrong(user.email, { instance: tight })));
    expect(await failures(user.id, 'wrong_password')).toBe(20);
    expect(await failures(user.id, 'locked')).toBe(50 - 1);
    expect(await mailsTo(user.email)).toHaveLength(1);
  });

  test('a right password in the very try that would lock signs in and locks nothing', async () => {
    const user = await auth.user();
    for (let n = 0; n < 19; n++) {
      await wrong(user.email);
      if (n >= 9) auth.clock.advance(60_000);
    }
    expect((await right(user.email)).status).toBe(200);
    expect((await right(user.email)).status).toBe(200);
    expect(await mailsTo(user.email)).toEqual([]);
  });

  test('the owner whose password is looked at while strangers lock the account gets in, and the lock ends', async () => {
    const slow = await auth.another();
    const { verify } = slow.deps.hasher;
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    slow.deps.hasher = {
      ...slow.deps.hasher,
      async verify(stored, password) {
        entered.resolve();
        await gate.promise;
        return verify(stored, password);
      },
    };
    const owner = await auth.user();
    const victim = await auth.user();
    const waiting = [right(owner.email, { instance: slow }), right(victim.email, { instance: slow })];
    await entered.promise;
    await eventually(async () => {
      const buckets = [owner, victim].map(({ email }) => bucketOf(`login_account\n${email}`));
      return (await auth.rows('select from auth.login_lanes where bucket = any ($1)', [buckets])).length === 2;
    });
    // The try of the owner is one of those that count.
    await lock(owner.email, 19);
    expect((await right(owner.email)).status).toBe(401);
    await auth.rows(`update auth.users set status = 'disabled' where id = $1`, [victim.id]);
    gate.resolve();

    const [entering, disabled] = await Promise.all(waiting);
    expect([entering?.status, disabled?.status]).toEqual([200, 401]);
    expect((await right(owner.email)).status).toBe(200);
    expect(await auth.rows('select from auth.lockouts where user_id = $1', [owner.id])).toEqual([]);
  });

  test('is on record, once for each lock, and tells operators how many there are', async () => {
    const counted = async () =>
      Number(/auth_lockouts_total\{scope="account"\} (\d+)/.exec(await auth.metrics())?.[1] ?? 'NaN');
    const before = await counted();
    const user = await auth.user();
    await lock(user.email);
    await wrong(user.email);
    const locked = (await auth.events('auth.account_locked.v1')).filter(({ data }) => data['user_id'] === user.id);
    expect(locked).toMatchObject([{ outcome: 'denied', data: { until: expect.stringMatching(/Z$/) } }]);
    expect(await counted()).toBe(before + 1);
    expect(await auth.metrics()).toContain('auth_rate_limited_total{limiter="login_account_network"} 0');
  });
});

describe('S010 no more than a hundred failures in a row are judged', () => {
  /** Fails as strangers for hours, through every lock. */
  async function wearOut(email: string, tries: number) {
    for (let n = 0; n < tries; n++) {
      expect((await wrong(email)).status).toBe(401);
      auth.clock.advance(60_000);
    }
  }

  test('over all windows and locks; then the owner is in by a known device or by the link alone', async () => {
    const user = await auth.user();
    const device = deviceOf(await right(user.email));

    await wearOut(user.email, 200);

    expect(await failures(user.id, 'wrong_password')).toBe(80);
    auth.clock.advance(7 * 86_400_000);
    expect((await right(user.email)).status).toBe(401);
    expect(await auth.rows('select auth.cleanup_throttling($1)', [auth.clock()])).toHaveLength(1);
    expect((await right(user.email)).status).toBe(401);

    for (let n = 0; n < 40; n++) {
      await wrong(user.email, { cookie: device });
      auth.clock.advance(901_000);
    }
    expect(await failures(user.id, 'wrong_password')).toBe(100);

    const [latest] = (await mailsTo(user.email)).slice(-1);
    expect(latest).toBeDefined();
    await auth.rows(`update auth.action_tokens set expires_at = $2 where user_id = $1`, [
      user.id,
      new Date(auth.clock().getTime() + 60_000),
    ]);
    expect((await unlock(latest?.token ?? '')).status).toBe(204);
    expect((await right(user.email)).status).toBe(200);
    expect((await right(user.email, { cookie: device })).status).toBe(200);
  }, 60_000);

  test('the owner’s success on a known device ends the row, and shortens no lock for strangers', async () => {
    const user = await auth.user();
    const device = deviceOf(await right(user.email));
    await wearOut(user.email, 150);
    expect(await failures(user.id, 'wrong_password')).toBe(80);

    expect((await right(user.email, { cookie: device })).status).toBe(200);

    const [lane] = await auth.rows<{ failures: number; locked_until: Date | null }>(
      'select failures, locked_until from auth.login_lanes where bucket = $1',
      [bucketOf(`login_account\n${user.email}`)],
    );
    expect(lane?.failures).toBe(0);
    auth.clock.advance(900_000);
    expect((await right(user.email)).status).toBe(200);
  }, 60_000);

  test('a known device has delays of its own, and beyond its failures it is a stranger', async () => {
    const user = await auth.user();
    const device = deviceOf(await right(user.email));
    for (let n = 0; n < 5; n++) expect((await wrong(user.email, { cookie: device })).status).toBe(401);
    const refused = await right(user.email, { cookie: device });
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('30');
    // The lane of strangers is untouched by it.
    expect((await right(user.email)).status).toBe(200);
  });
});

describe('the link that ends a lock', () => {
  test('comes once for each lock, sealed, to who has an account, and works once', async () => {
    const user = await auth.user();
    await lock(user.email);
    const [mail, ...more] = await mailsTo(user.email);
    expect(more).toEqual([]);
    expect(mail?.params).toEqual({
      name: 'Uma User',
      until: expect.stringMatching(/Z$/),
      device: expect.any(String),
      address: expect.stringMatching(/^10\./),
      at: expect.stringMatching(/Z$/),
    });
    expect(await mailsTo('nobody@invalid.invalid')).toEqual([]);
    const token = mail?.token ?? '';
    expect(JSON.stringify(await auth.rows('select * from events.outbox'))).not.toContain(token);
    expect(JSON.stringify(await auth.rows('select payload from events.jobs'))).not.toContain(token);

    const answers = await Promise.all(Array.from({ length: 10 }, () => unlock(token)));

    expect(answers.map(({ status }) => status).sort()).toEqual([204, ...Array(9).fill(400)]);
    expect((await right(user.email)).status).toBe(200);
    expect((await unlock(token)).body.code).toBe('auth.token_refused');
    const unlocked = (await auth.events('auth.account_unlocked.v1')).filter(({ data }) => data['user_id'] === user.id);
    expect(unlocked).toHaveLength(1);
    expect(await auth.events('auth.link_refused.v1')).toHaveLength(10);
  });

  test('of an earlier lock, past its time, of a disabled account or a changed address does nothing', async () => {
    const user = await auth.user();
    await lock(user.email);
    const first = (await mailsTo(user.email))[0]?.token ?? '';
    auth.clock.advance(900_000);
    await lock(user.email);
    const second = (await mailsTo(user.email))[1]?.token ?? '';
    expect((await unlock(first)).status).toBe(400);
    await auth.rows(`update auth.users set status = 'disabled' where id = $1`, [user.id]);
    expect((await unlock(second)).status).toBe(400);

    const moved = await auth.user();
    await lock(moved.email);
    const moving = (await mailsTo(moved.email))[0]?.token ?? '';
    await auth.rows(`update auth.users set email = 'x' || email where id = $1`, [moved.id]);
    expect((await unlock(moving)).status).toBe(400);

    const late = await auth.user();
    await lock(late.email);
    const token = (await mailsTo(late.email))[0]?.token ?? '';
    auth.clock.advance(30 * 60_000);
    expect((await unlock(token)).status).toBe(400);
    for (const bad of ['', 'x'.repeat(257), 7, null]) expect((await unlock(bad as string)).status).toBe(400);
  });

  test('is not sent for accounts that nobody signs in to, and no account follows from it', async () => {
    const disabled = await auth.user({ status: 'disabled' });
    await lock(disabled.email);
    await lock('still-nobody@users.test');
    expect(await mailsTo(disabled.email)).toEqual([]);
    expect(await mailsTo('still-nobody@users.test')).toEqual([]);
    const listed = await auth.rows('select from auth.lockouts where user_id = $1', [disabled.id]);
    expect(listed).toEqual([]);
  });
});

test('buckets do not tell whose they are', async () => {
  const user = await auth.user();
  const address = '203.0.113.77';
  await wrong(user.email, { address });
  const rows = JSON.stringify(await auth.rows(`select encode(bucket, 'escape') as bucket from auth.login_lanes`));
  expect(rows).not.toContain(user.email);
  expect(rows).not.toContain('203.0.113');
});

test('the cleanup forgets what has had its time, and not the failures in a row of an account', async () => {
  const user = await auth.user();
  await wrong(user.email);
  await wrong('gone-by-night@users.test');
  const count = async (lane: string) =>
    (await auth.rows('select from auth.login_lanes where bucket = $1', [bucketOf(lane)])).length;
  auth.clock.advance(86_400_000);
  await auth.rows('select auth.cleanup_throttling($1)', [auth.clock()]);
  expect(await count(`login_account\n${user.email}`)).toBe(1);
  expect(await count('login_account\ngone-by-night@users.test')).toBe(0);
});

test('who must set a new password is told so, with the right password alone', async () => {
  const user = await auth.user();
  await auth.rows('update auth.users set password_reset_required = true where id = $1', [user.id]);
  expect((await wrong(user.email)).body.code).toBe('auth.invalid_credentials');
  const refused = await right(user.email);
  expect(refused).toMatchObject({ status: 403, body: { code: 'auth.password_reset_required' } });
  expect(refused.headers.get('set-cookie')).toBeNull();
  expect(await auth.rows('select from auth.sessions where user_id = $1', [user.id])).toEqual([]);
  expect(await failures(user.id, 'password_reset_required')).toBe(1);
});
