import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, claimsOf, startAuth } from '../testing.ts';
import {
  bearer,
  challenge,
  challenges,
  dump,
  mailedCode,
  mailsTo,
  person,
  totp,
  verify,
  withEmail,
  withTotp,
} from './test-factors.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const stale = { auth_time: Math.floor(Date.now() / 1000) - 700 };

describe('S054', () => {
  const CALLS: [string, string][] = [
    ['post', '/api/auth/factors/totp'],
    ['delete', '/api/auth/factors/totp'],
    ['post', '/api/auth/factors/email'],
    ['delete', '/api/auth/factors/email'],
    ['post', '/api/auth/factors/recovery-codes'],
  ];

  test.each(CALLS)(
    'S054 %s %s asks for a proof not older than ten minutes, and says how to give it',
    async (method, path) => {
      const one = await withTotp(auth, await person(auth));
      const before = await dump(auth);
      const { status, body, headers } = await bearer(auth, one.token, stale)[method as 'post'](path);

      expect({ status, code: body.code }).toEqual({ status: 403, code: 'auth.reauth_required' });
      expect(body.proof).toEqual({ post: '/api/auth/reauthenticate', max_age_seconds: 600 });
      expect(headers.get('www-authenticate')).toContain('max_age="600"');
      // The refusal itself is on record, and nothing else happened.
      const after = (await dump(auth)).split('\n').filter((line) => !before.includes(line));
      expect(after).toHaveLength(1);
      expect(after[0]).toContain('access.denied.v1');
    },
  );

  test('S054 it works after a new proof with every factor that is set up', async () => {
    const one = await withEmail(auth, await withTotp(auth, await person(auth)));
    const session = bearer(auth, one.token, stale);
    const proofs: [string, () => Promise<string>][] = [
      ['totp', async () => one.code()],
      [
        'email',
        async () => {
          await session.post('/api/auth/reauthenticate/code');
          return mailedCode(auth, one.email);
        },
      ],
      ['recovery', async () => one.recovery_codes[0] as string],
    ];
    for (const [method, code] of proofs) {
      expect((await session.post('/api/auth/factors/recovery-codes')).body.code).toBe('auth.reauth_required');
      const proved = await session.post('/api/auth/reauthenticate', {
        password: one.password,
        method,
        code: await code(),
      });
      expect({ method, status: proved.status }).toEqual({ method, status: 200 });
      if (method !== 'email') continue;
      expect((await bearer(auth, proved.body.access_token).delete('/api/auth/factors/email')).status).toBe(204);
    }
  });

  test('S054 a session that was opened without the second factor changes none', async () => {
    const one = await person(auth);
    const withApp = await withTotp(auth, one);
    const calls = CALLS.filter(([, path]) => !path.endsWith('/email') || path === '/api/auth/factors/email');
    for (const [method, path] of calls) {
      const { status, body } = await bearer(auth, one.token, { amr: ['pwd'] })[method as 'post'](path);
      expect({ method, path, status, code: body.code }).toEqual({
        method,
        path,
        status: 403,
        code: 'auth.second_factor_required',
      });
      expect(body.proof).toEqual({
        post: '/api/auth/reauthenticate',
        enrol: '/api/auth/factors/totp',
        second_factor: true,
      });
    }
    expect((await withApp.session.get('/api/auth/factors')).body.totp).not.toBeNull();
  });

  test('S054 to set up a factor does not make an old proof new', async () => {
    const one = await person(auth);
    const { body } = await one.session.post('/api/auth/factors/totp');
    auth.clock.advance(800_000);
    const code = totp(body.secret, auth.clock());
    const confirmed = await one.session.post('/api/auth/factors/totp/confirm', { code });
    const before = claimsOf(one.token).payload as unknown as { auth_time: number };
    expect(claimsOf(confirmed.body.access_token).payload).toMatchObject({ auth_time: before.auth_time });
  });
});

describe('recovery codes', () => {
  test('S049 one code ten times in parallel opens one session, and none later', async () => {
    const one = await withTotp(auth, await person(auth));
    const other = await auth.another();
    const tokens = await challenges(auth, one, 10);
    const code = one.recovery_codes[3] as string;

    const answers = await Promise.all(tokens.map((token, n) => verify(n % 2 ? other : auth, token, 'recovery', code)));

    // Nine wrong guesses came after the right one, so the account is not stopped either.
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(401)]);
    expect((await verify(auth, await challenge(auth, one), 'recovery', one.recovery_codes[4] as string)).status).toBe(
      200,
    );
    const { body } = await one.session.get('/api/auth/factors');
    expect(body.recovery_codes).toMatchObject({ left: 8, last_used_at: auth.clock().toISOString() });
    const used = (await auth.events('auth.recovery_code_used.v1')).filter(({ data }) => data['user_id'] === one.id);
    expect(used.map(({ data }) => data['left'])).toEqual([9, 8]);
  });

  test('S049 the old ones are dead once there are new ones, and another user’s open nothing', async () => {
    const one = await withTotp(auth, await person(auth));
    const stranger = await withTotp(auth, await person(auth));
    const renewed = await one.session.post('/api/auth/factors/recovery-codes');
    expect(renewed.status).toBe(200);
    expect(renewed.body.recovery_codes).toHaveLength(10);

    const token = await challenge(auth, one);
    expect((await verify(auth, token, 'recovery', one.recovery_codes[0] as string)).status).toBe(401);
    expect((await verify(auth, token, 'recovery', stranger.recovery_codes[0] as string)).status).toBe(401);
    // As people type it.
    const typed = ` ${renewed.body.recovery_codes[0].toUpperCase().replaceAll('-', ' ')} `;
    expect((await verify(auth, token, 'recovery', typed)).status).toBe(200);
    expect((await mailsTo(auth, one.email, 'factor-changed')).at(-1)?.params['change']).toBe('recovery_codes_replaced');
  });

  test('S049 they carry 120 bits, and Postgres holds their hashes only, as it holds no seed, code or token', async () => {
    const one = await withEmail(auth, await withTotp(auth, await person(auth)));
    const token = await challenge(auth, one);
    await auth.anonymous.post('/api/auth/challenge/code', { challenge_token: token });
    const mailed = await mailedCode(auth, one.email);
    for (const code of one.recovery_codes) expect(code).toMatch(/^([0-9a-hjkmnp-tv-z]{4}-){5}[0-9a-hjkmnp-tv-z]{4}$/);

    const text = await dump(auth);
    const secrets = [
      one.secret,
      token,
      ...one.recovery_codes,
      ...one.recovery_codes.map((code) => code.replaceAll('-', '')),
    ];
    for (const secret of secrets) {
      expect(text).not.toContain(secret);
      expect(text).not.toContain(Buffer.from(secret).toString('hex'));
    }
    const codes = await auth.rows<{ row: string }>(
      'select c::text as row from auth.one_time_codes c where c.user_id = $1',
      [one.id],
    );
    expect(codes).toHaveLength(1);
    expect(codes[0]?.row).not.toContain(`,${mailed},`);
    const events = await auth.rows<{ row: string }>('select o.data::text as row from events.outbox o');
    for (const { row } of events) expect(row).not.toContain(mailed);
  });
});
