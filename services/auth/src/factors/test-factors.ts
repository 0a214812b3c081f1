import { createHmac, randomUUID } from 'node:crypto';
import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import { open } from '@gatehouse/kit/crypto';
import type { TestIdentity } from '@gatehouse/testkit/identities';
import type { Answer, Client } from '@gatehouse/testkit/server';
import { type AuthUnderTest, claimsOf, type Instance, PASSWORD, type TestUser } from '../testing.ts';

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** A code of an authenticator app, by RFC 6238 itself and not by the library that judges it. */
export function totp(secret: string, time: Date, steps = 0): string {
  const bits = Array.from(secret, (letter) => BASE32.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(time.getTime() / 30_000) + steps));
  const digest = createHmac('sha1', key).update(counter).digest();
  const offset = (digest[19] as number) & 15;
  return String((digest.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

/** A code of the right form that is wrong for sure. */
export const wrongCode = (...right: string[]) =>
  ['111111', '222222', '333333', '444444', '555555'].find((code) => !right.includes(code)) as string;

/** The caller of an access token, as the gateway tells of it: when and how it was authenticated included. */
export function bearer(instance: Instance, accessToken: string, about: TestIdentity = {}) {
  const { sub, sid, role, amr, auth_time } = claimsOf(accessToken).payload as unknown as Required<TestIdentity>;
  return instance.as({ kind: 'user', sub, sid, role, amr, auth_time, ...about });
}

export interface Person extends TestUser {
  token: string;
  session: Client;
}

/** A user with a confirmed address who has signed in with the password. */
export async function person(auth: AuthUnderTest, role = 'user', verified = true): Promise<Person> {
  const user = await auth.user({ role });
  if (verified) await auth.rows('update auth.users set email_verified_at = now() where id = $1', [user.id]);
  const token = (await login(auth, user)).body.access_token as string;
  return { ...user, token, session: bearer(auth, token) };
}

export const login = (instance: Instance, { email }: { email: string }, headers = {}): Promise<Answer> =>
  instance.anonymous.post('/api/auth/login', { email, password: PASSWORD }, headers);

/** Sets up an authenticator app; the clock goes on a step, so that the next code is a new one. */
export async function withTotp(auth: AuthUnderTest, one: Person) {
  const { body } = await one.session.post('/api/auth/factors/totp');
  const confirmed = await one.session.post('/api/auth/factors/totp/confirm', { code: totp(body.secret, auth.clock()) });
  if (confirmed.status !== 200) throw new Error(`not confirmed: ${JSON.stringify(confirmed.body)}`);
  auth.clock.advance(30_000);
  const { access_token: token, recovery_codes } = confirmed.body;
  return {
    ...one,
    token: token as string,
    session: bearer(auth, token),
    secret: body.secret as string,
    recovery_codes: recovery_codes as string[],
    code: (steps = 0) => totp(body.secret, auth.clock(), steps),
  };
}

/** Sets up codes by mail. */
export async function withEmail<P extends Person>(auth: AuthUnderTest, one: P) {
  await one.session.post('/api/auth/factors/email');
  const code = await mailedCode(auth, one.email);
  const confirmed = await one.session.post('/api/auth/factors/email/confirm', { code });
  if (confirmed.status !== 200) throw new Error(`not confirmed: ${JSON.stringify(confirmed.body)}`);
  const { access_token: token, recovery_codes } = confirmed.body;
  return { ...one, token: token as string, session: bearer(auth, token), recovery_codes: recovery_codes as string[] };
}

/** The last code that was mailed to an address. */
export const mailedCode = (auth: AuthUnderTest, email: string) => mailedSecret(auth, email, 'code');

/** What the last mail of that kind to an address carries. */
export async function mailedSecret(auth: AuthUnderTest, email: string, template: string): Promise<string> {
  const [job] = await auth.rows<{ secret: Buffer }>(
    `select j.secret from events.jobs j
     where j.payload ->> 'to' = $1 and j.payload ->> 'template' = $2 order by j.created_at desc, j.id desc limit 1`,
    [email, template],
  );
  if (!job) throw new Error(`no ${template} was mailed`);
  return open(auth.deps.secrets.mail, job.secret, MAIL_SECRET.aad).toString();
}

export async function mailsTo(auth: AuthUnderTest, email: string, template: string) {
  const jobs = await auth.rows<{ payload: { params: Record<string, unknown>; expires_at?: string } }>(
    `select j.payload from events.jobs j where j.payload ->> 'to' = $1 and j.payload ->> 'template' = $2
     order by j.created_at, j.id`,
    [email, template],
  );
  return jobs.map(({ payload }) => payload);
}

/** A sign-in that waits for the second factor. */
export async function challenge(instance: Instance, user: { email: string }): Promise<string> {
  const { status, body } = await login(instance, user);
  if (status !== 200 || !body.challenge_token) throw new Error(`no challenge: ${JSON.stringify(body)}`);
  return body.challenge_token;
}

/** So many sign-ins that wait, begun one after another: many at one instant are throttled. */
export async function challenges(instance: Instance, user: { email: string }, count: number): Promise<string[]> {
  const tokens: string[] = [];
  for (let n = 0; n < count; n++) tokens.push(await challenge(instance, user));
  return tokens;
}

export const verify = (instance: Instance, challenge_token: string, method: string, code: string, more = {}) =>
  instance.anonymous.post('/api/auth/challenge/verify', { challenge_token, method, code, ...more });

/** An organization that asks its members for a second factor, with this one as its owner. */
export async function strictOrganization(auth: AuthUnderTest, userId: string): Promise<string> {
  const id = randomUUID();
  await auth.rows(
    `insert into org.organizations (id, name, slug, created_by, require_second_factor) values ($1, 'Acme', $2, $3, true)`,
    [id, `acme-${id.slice(0, 8)}`, userId],
  );
  await auth.rows(`insert into org.members (org_id, user_id, role) values ($1, $2, 'owner')`, [id, userId]);
  return id;
}

/** Everything that Postgres holds of auth and of work owed, as text. */
export async function dump(auth: AuthUnderTest): Promise<string> {
  const tables = await auth.rows<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('auth', 'events', 'app')`,
  );
  const parts: string[] = [];
  for (const { name } of tables) {
    const found = await auth.rows<{ text: string }>(`select t::text as text from ${name} t`);
    parts.push(...found.map(({ text }) => text));
  }
  return parts.join('\n');
}
