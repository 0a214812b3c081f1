import { createSecretKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { open } from '@gatehouse/kit/crypto';
import { openPool } from '@gatehouse/kit/db';
import type { Answer } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AuthUnderTest, type Instance, isActive, signedIn, startAuth } from '../testing.ts';
import { encodeRefreshToken } from '../tokens/refresh-tokens.ts';
import { aadOf } from './sessions.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const OWN = { origin: 'https://gatehouse.test', 'x-requested-with': 'gatehouse' };

let auth: AuthUnderTest;
let other: Instance;
beforeAll(async () => {
  auth = await startAuth();
  other = await auth.another();
});
afterAll(() => auth.close());

interface Case {
  /** The security cases that it proves. */
  proves: string;
  /** The user's, where it is not an ordinary one. */
  role?: 'admin';
  session: string;
  token: string;
  when: string;
  answer: string;
  effect: 'goes on' | 'as before' | 'ends' | 'was dead';
  audit: string;
  mail: string;
  present: (subject: Subject) => Promise<Answer>;
}

type Subject = Awaited<ReturnType<typeof signedIn>>;

const refresh = (refresh_token: string | undefined, headers = {}, instance: Instance = auth) =>
  instance.anonymous.post('/api/auth/refresh', refresh_token === undefined ? {} : { refresh_token }, headers);
const next = async (token: string): Promise<string> => (await refresh(token)).body.refresh_token;
const inCookie = (token: string) => ({ cookie: `__Host-gatehouse_refresh=${token}` });
const setUser = ({ user }: Subject, change: string) =>
  auth.rows(`update auth.users set ${change} where id = $1`, [user.id]);

async function forge({ session }: Subject, generation: number): Promise<string> {
  const [row] = await auth.rows<{ key_sealed: Buffer }>('select key_sealed from auth.sessions where id = $1', [
    session.session_id,
  ]);
  const sealed = row?.key_sealed as Buffer;
  const key = createSecretKey(open(auth.deps.secrets.sessions, sealed, aadOf(session.session_id, session.user_id)));
  return encodeRefreshToken({ session_id: session.session_id, generation }, key);
}

const REUSE = {
  answer: '401 `auth.session_ended`',
  effect: 'ends',
  audit: '`auth.refresh_reuse.v1`',
  mail: '`refresh-reused`',
} as const;
const refused = (code: string, reason: string, effect: Case['effect']) => ({
  answer: `401 \`auth.${code}\``,
  effect,
  audit: `\`auth.refresh_refused.v1\` (${reason})`,
  mail: '—',
});
const ROTATES = { answer: '200', effect: 'goes on', audit: '—', mail: '—' } as const;
const AGAIN = { answer: '200', effect: 'as before', audit: '—', mail: '—' } as const;
const BAD = { answer: '400 `request.invalid`', effect: 'as before', audit: '—', mail: '—' } as const;
const FOREIGN = {
  answer: '403 `auth.origin_refused`',
  effect: 'as before',
  audit: '`access.denied.v1`',
  mail: '—',
} as const;

const CASES: Case[] = [
  { proves: '', session: 'lives', token: 'current', when: 'any', ...ROTATES, present: ({ token }) => refresh(token) },
  {
    proves: 'S036',
    session: 'lives',
    token: 'current, twenty times at one instant over two instances',
    when: 'any',
    ...ROTATES,
    async present({ token }) {
      const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => refresh(token, {}, n % 2 ? other : auth)));
      expect(new Set(answers.map(({ status, body }) => `${status} ${body.refresh_token}`)).size).toBe(1);
      return answers[0] as Answer;
    },
  },
  {
    proves: 'S037',
    session: 'lives',
    token: 'parent',
    when: 'within the grace',
    ...AGAIN,
    async present({ token }) {
      const successor = await next(token);
      auth.clock.advance(9_000);
      const answer = await refresh(token);
      expect(answer.body.refresh_token).toBe(successor);
      return answer;
    },
  },
  {
    proves: 'S037',
    session: 'lives',
    token: 'parent, with retries in between',
    when: 'after the grace',
    ...REUSE,
    async present({ token }) {
      await next(token);
      auth.clock.advance(9_000);
      await next(token);
      auth.clock.advance(1_001);
      return refresh(token);
    },
  },
  {
    proves: 'S035',
    session: 'lives',
    token: 'parent, twenty times at one instant over two instances',
    when: 'after the grace',
    ...REUSE,
    audit: '`auth.refresh_refused.v1` (ended), `auth.refresh_reuse.v1`',
    async present({ token }) {
      await next(token);
      auth.clock.advance(10_001);
      const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => refresh(token, {}, n % 2 ? other : auth)));
      expect(new Set(answers.map(({ body }) => body.code))).toEqual(new Set(['auth.session_ended']));
      return answers[0] as Answer;
    },
  },
  {
    proves: 'S035',
    session: 'lives',
    token: 'parent whose successor was used',
    when: 'within the grace',
    ...REUSE,
    async present({ token }) {
      await next(await next(token));
      return refresh(token);
    },
  },
  {
    proves: 'S035',
    session: 'lives',
    token: 'older',
    when: 'any',
    ...REUSE,
    async present({ token }) {
      await next(await next(await next(token)));
      return refresh(token);
    },
  },
  {
    proves: 'S027',
    session: 'lives',
    token: 'of a later generation than the session (a restored backup)',
    when: 'any',
    ...refused('refresh_refused', 'mismatch', 'as before'),
    present: async (subject) => refresh(await forge(subject, 7)),
  },
  {
    proves: 'S027',
    session: 'lives',
    token: 'malformed',
    when: 'any',
    ...refused('refresh_refused', 'malformed', 'as before'),
    present: ({ token }) => refresh(`${token}x`),
  },
  {
    proves: 'S027',
    session: 'lives',
    token: 'wrong MAC',
    when: 'any',
    ...refused('refresh_refused', 'unknown', 'as before'),
    present: ({ token }) => refresh(`${token.slice(0, -8)}AAAAAAA${token.endsWith('A') ? 'E' : 'A'}`),
  },
  {
    proves: '',
    session: 'lives, its key not its own (a row that was tampered with)',
    token: 'current',
    when: 'any',
    ...refused('refresh_refused', 'unknown', 'as before'),
    async present({ token, session }) {
      const foreign = await signedIn(auth);
      await auth.rows(
        'update auth.sessions set key_sealed = (select key_sealed from auth.sessions where id = $1) where id = $2',
        [foreign.session.session_id, session.session_id],
      );
      return refresh(token);
    },
  },
  {
    proves: '',
    session: 'is unknown',
    token: 'well-formed',
    when: 'any',
    ...refused('refresh_refused', 'unknown', 'was dead'),
    async present({ token, session }) {
      await auth.rows('delete from auth.sessions where id = $1', [session.session_id]);
      return refresh(token);
    },
  },
  {
    proves: 'S031',
    session: 'was ended (sign-out, revoked, limit, reset, “not me”)',
    token: 'current',
    when: 'any',
    ...refused('session_ended', 'ended', 'was dead'),
    async present({ token, session }) {
      await session.post('/api/auth/logout');
      return refresh(token);
    },
  },
  {
    proves: 'S035',
    session: 'was ended by a reuse',
    token: 'current',
    when: 'any',
    ...refused('session_ended', 'ended', 'was dead'),
    async present({ token }) {
      const current = await next(await next(token));
      await refresh(token);
      await forget();
      return refresh(current);
    },
  },
  {
    proves: 'S035',
    session: 'was ended by a reuse',
    token: 'older, once more',
    when: 'any',
    ...refused('session_ended', 'ended', 'was dead'),
    async present({ token }) {
      await next(await next(token));
      await refresh(token);
      await forget();
      return refresh(token);
    },
  },
  {
    proves: 'S040',
    session: 'rested too long',
    token: 'current',
    when: 'after 24 h without use',
    ...refused('session_expired', 'expired', 'was dead'),
    present({ token }) {
      auth.clock.advance(DAY_MS);
      return refresh(token);
    },
  },
  {
    proves: 'S040',
    session: 'rested too long',
    token: 'older',
    when: 'after 24 h without use',
    ...refused('session_expired', 'expired', 'was dead'),
    async present({ token }) {
      await next(await next(token));
      auth.clock.advance(DAY_MS);
      return refresh(token);
    },
  },
  {
    proves: 'S040',
    session: 'lasted too long',
    token: 'current',
    when: 'after 30 d, refreshed daily',
    ...refused('session_expired', 'expired', 'was dead'),
    async present({ token }) {
      let current = token;
      for (let day = 0; day < 30; day++) {
        auth.clock.advance(DAY_MS - 1);
        current = await next(current);
      }
      auth.clock.advance(30);
      return refresh(current);
    },
  },
  {
    proves: 'S040',
    role: 'admin',
    session: 'of an administrator, rested too long',
    token: 'current',
    when: 'after 1 h without use',
    ...refused('session_expired', 'expired', 'was dead'),
    present({ token }) {
      auth.clock.advance(HOUR_MS);
      return refresh(token);
    },
  },
  {
    proves: 'S040',
    role: 'admin',
    session: 'of an administrator, lasted too long',
    token: 'current',
    when: 'after 12 h, refreshed hourly',
    ...refused('session_expired', 'expired', 'was dead'),
    async present(subject) {
      let { token } = subject;
      for (let hour = 0; hour < 12; hour++) {
        auth.clock.advance(HOUR_MS - 1);
        token = await next(token);
      }
      auth.clock.advance(12);
      return refresh(token);
    },
  },
  {
    proves: 'S040',
    session: 'of a user who was made an administrator meanwhile',
    token: 'current',
    when: 'after 1 h without use',
    ...refused('session_expired', 'expired', 'was dead'),
    async present(subject) {
      await setUser(subject, `role = 'admin'`);
      auth.clock.advance(HOUR_MS);
      return refresh(subject.token);
    },
  },
  {
    proves: 'S032',
    session: 'of a disabled user',
    token: 'current',
    when: 'any',
    ...refused('session_ended', 'ended', 'was dead'),
    async present(subject) {
      await setUser(subject, `status = 'disabled', disabled_at = now()`);
      return refresh(subject.token);
    },
  },
  {
    proves: 'S032',
    session: 'of a user whose account is closing',
    token: 'current',
    when: 'any',
    ...refused('session_ended', 'ended', 'was dead'),
    async present(subject) {
      await setUser(subject, `status = 'disabled', deletion_due_at = now()`);
      return refresh(subject.token);
    },
  },
  {
    proves: 'S032',
    session: 'of a deleted user',
    token: 'current',
    when: 'any',
    ...refused('session_ended', 'ended', 'was dead'),
    async present(subject) {
      await setUser(subject, `status = 'deleted'`);
      return refresh(subject.token);
    },
  },
  {
    proves: '',
    session: 'lives',
    token: 'current, under its own access token',
    when: 'any',
    ...ROTATES,
    present: ({ token, session }) => session.post('/api/auth/refresh', { refresh_token: token }),
  },
  {
    proves: 'S039',
    session: 'lives',
    token: 'current, under the access token of another session',
    when: 'any',
    ...BAD,
    present: async ({ token }) => (await signedIn(auth)).session.post('/api/auth/refresh', { refresh_token: token }),
  },
  { proves: '', session: 'lives', token: 'none', when: 'any', ...BAD, present: () => refresh(undefined) },
  {
    proves: 'S043',
    session: 'lives',
    token: 'current, in the cookie',
    when: 'any',
    ...ROTATES,
    async present({ token }) {
      const answer = await refresh(undefined, { ...OWN, ...inCookie(token) });
      expect(answer.body.refresh_token).toBeUndefined();
      expect(answer.headers.getSetCookie()).toEqual([
        expect.stringMatching(
          /^__Host-gatehouse_refresh=ghr_\S+; Path=\/; Secure; HttpOnly; SameSite=Strict; Max-Age=2592000$/,
        ),
      ]);
      return answer;
    },
  },
  {
    proves: 'S043',
    session: 'lives',
    token: 'current, in the cookie and the same in the body',
    when: 'any',
    ...ROTATES,
    present: ({ token }) => refresh(token, { ...OWN, ...inCookie(token) }),
  },
  {
    proves: 'S039',
    session: 'lives',
    token: 'current in the cookie, another in the body',
    when: 'any',
    ...BAD,
    present: async ({ token }) => refresh((await signedIn(auth)).token, { ...OWN, ...inCookie(token) }),
  },
  {
    proves: 'S039',
    session: 'lives',
    token: 'another in the cookie, current in the body',
    when: 'any',
    ...BAD,
    present: async ({ token }) => refresh(token, { ...OWN, ...inCookie((await signedIn(auth)).token) }),
  },
  {
    proves: 'S039',
    session: 'lives',
    token: 'current in the cookie, which came twice',
    when: 'any',
    ...BAD,
    present: ({ token }) =>
      refresh(undefined, { ...OWN, cookie: `${inCookie(token).cookie}; ${inCookie('x').cookie}` }),
  },
  {
    proves: 'S044',
    session: 'lives',
    token: 'current, in the cookie, from a foreign origin',
    when: 'any',
    ...FOREIGN,
    present: ({ token }) => refresh(undefined, { ...OWN, ...inCookie(token), origin: 'https://evil.test' }),
  },
  {
    proves: 'S044',
    session: 'lives',
    token: 'current, in the cookie, without an origin',
    when: 'any',
    ...FOREIGN,
    present: ({ token }) => refresh(undefined, { 'x-requested-with': 'gatehouse', ...inCookie(token) }),
  },
  {
    proves: 'S044',
    session: 'lives',
    token: 'current, in the cookie, without `x-requested-with`',
    when: 'any',
    ...FOREIGN,
    present: ({ token }) => refresh(undefined, { origin: OWN.origin, ...inCookie(token) }),
  },
  {
    proves: 'S044',
    session: 'lives',
    token: 'current, in the cookie, as `text/plain`',
    when: 'any',
    ...BAD,
    answer: '415 `request.unsupported_media_type`',
    present: ({ token }) => refresh(undefined, { ...OWN, ...inCookie(token), 'content-type': 'text/plain' }),
  },
  {
    proves: 'S043',
    session: 'was ended (sign-out, revoked, limit, reset, “not me”)',
    token: 'current, in the cookie, which is cleared',
    when: 'any',
    ...refused('session_ended', 'ended', 'was dead'),
    async present({ token, session }) {
      await session.post('/api/auth/logout');
      const answer = await refresh(undefined, { ...OWN, ...inCookie(token) });
      expect(answer.headers.getSetCookie()).toEqual([expect.stringMatching(/^__Host-gatehouse_refresh=;.*Max-Age=0$/)]);
      return answer;
    },
  },
  {
    proves: 'F24',
    session: 'lives',
    token: 'current',
    when: 'while Redis is away',
    ...ROTATES,
    async present({ token }) {
      const alone = await auth.another();
      alone.deps.redis.disconnect();
      return refresh(token, {}, alone);
    },
  },
  {
    proves: 'F24',
    session: 'lives',
    token: 'older',
    when: 'while Redis is away',
    ...REUSE,
    async present({ token }) {
      const alone = await auth.another();
      alone.deps.redis.disconnect();
      await next(await next(token));
      return refresh(token, {}, alone);
    },
  },
  {
    proves: 'F12',
    session: 'lives',
    token: 'current',
    when: 'while Postgres is away',
    answer: '503 `dependency_unavailable`',
    effect: 'as before',
    audit: '—',
    mail: '—',
    async present({ token }) {
      const alone = await auth.another();
      alone.deps.pool = openPool({
        host: '127.0.0.1',
        port: 1,
        database: 'x',
        user: 'x',
        password: 'x',
        max: 1,
        name: 'away',
      });
      const answer = await refresh(token, {}, alone);
      expect(answer.headers.get('retry-after')).toBe('1');
      return answer;
    },
  },
];

let since = '0';
async function forget(): Promise<void> {
  const [last] = await auth.rows<{ position: string }>(
    'select coalesce(max(position), 0) as position from events.outbox',
  );
  since = String(last?.position);
  await auth.rows('delete from events.jobs');
}

async function audited(): Promise<string> {
  const events = await auth.rows<{ type: string; data: { reason?: string } }>(
    `select type, data from events.outbox
     where position > $1 and (type like 'auth.refresh%' or type like 'auth.session%' or type = 'access.denied.v1')
     order by position`,
    [since],
  );
  const told = new Set(events.map(({ type, data }) => `\`${type}\`${data.reason ? ` (${data.reason})` : ''}`));
  return [...told].sort().join(', ') || '—';
}

async function mailed(): Promise<string> {
  const mails = await auth.rows<{ template: string }>(
    `select payload ->> 'template' as template from events.jobs where payload ->> 'template' <> 'new-device'`,
  );
  return mails.map(({ template }) => `\`${template}\``).join(', ') || '—';
}

async function generationOf(sessionId: string): Promise<number> {
  const [row] = await auth.rows<{ generation: number }>('select generation from auth.sessions where id = $1', [
    sessionId,
  ]);
  return Number(row?.generation ?? -1);
}

/** What the last exchange of a case did, beside those that led to it. */
async function observe(one: Case) {
  const subject = await signedIn(auth, one.role);
  const { session_id } = subject.session;
  const steps = { parent: 1, 'parent, with retries in between': 1 } as Record<string, number>;
  await forget();
  const answer = await one.present(subject);
  const generation = await generationOf(session_id);
  const [row] = await auth.rows<{ end_reason: string | null }>('select end_reason from auth.sessions where id = $1', [
    session_id,
  ]);
  const alive = await isActive(auth, session_id);
  const rotated = generation - (steps[one.token] ?? 0);
  const effect = alive
    ? rotated === 1
      ? 'goes on'
      : 'as before'
    : row?.end_reason === 'refresh_reuse' && (await audited()).includes('reuse')
      ? 'ends'
      : 'was dead';
  const code = answer.status === 200 ? '' : ` \`${answer.body.code}\``;
  return { answer: `${answer.status}${code}`, effect, audit: await audited(), mail: await mailed() };
}

test.each(CASES)('$proves refresh: the session $session, token $token, $when', async (one) => {
  const { answer, audit, mail, effect } = one;
  expect(await observe(one)).toEqual({ answer, effect, audit, mail });
});

const EFFECTS = { 'goes on': 'one generation on', 'as before': '—', ends: 'the session ends', 'was dead': '—' };

test('docs/refresh.md publishes exactly these cases', async () => {
  const text = await readFile(new URL('../../../../docs/refresh.md', import.meta.url), 'utf8');
  const rows = CASES.map(
    ({ session, token, when, answer, effect, audit, mail }) =>
      `| ${session} | ${token} | ${when} | ${answer} | ${EFFECTS[effect]} | ${audit} | ${mail} |`,
  );
  const start = text.indexOf('| --- |');
  const published = text.slice(text.indexOf('\n', start) + 1, text.indexOf('\n\n', start)).split('\n');
  expect(published).toEqual(rows);
});
