import { randomUUID } from 'node:crypto';
import { hmac } from '@gatehouse/kit/crypto';
import { elsewhere } from '../mails/testing.ts';
import { type AuthUnderTest, sessionOf } from '../testing.ts';

export const OTHER_PASSWORD = 'quiet lamps over a narrow river';
export const THIRD_PASSWORD = 'seven green boats at anchor';

export const address = () => `${randomUUID()}@guests.test`;

export function register(auth: AuthUnderTest, email: string, password: string, from = elsewhere(auth)) {
  return from.post('/api/auth/register', { email, name: 'Gus Guest', password });
}

export function login(auth: AuthUnderTest, email: string, password: string, from = elsewhere(auth)) {
  return from.post('/api/auth/login', { email, password });
}

/** A guest who has registered and signed in. */
export async function visitor(auth: AuthUnderTest, email: string, password = OTHER_PASSWORD) {
  const registered = await register(auth, email, password);
  const answer = await login(auth, email, password);
  if (registered.status !== 202 || answer.status !== 200) throw new Error('no guest came in');
  return { ...sessionOf(auth, answer), refresh_token: answer.body.refresh_token as string, answer };
}

/** As after a day's attack. */
export async function lock(auth: AuthUnderTest, email: string): Promise<void> {
  await auth.rows(
    `insert into auth.login_lanes (bucket, used, window_ends_at, locked_until, failures, judged, lasting)
     values ($1, 0, now() + interval '1 day', now() + interval '1 day', 80, true, true)
     on conflict (bucket) do update set locked_until = excluded.locked_until, failures = 80`,
    [hmac(auth.deps.secrets.budgets, `login_account\n${email}`)],
  );
}
