import { MAIL_SECRET, type Mail } from '@gatehouse/contracts/jobs';
import { open } from '@gatehouse/kit/crypto';
import type { AuthUnderTest } from '../testing.ts';

export interface OwedMail {
  payload: Mail;
  /** The token or code that it carries. */
  secret: string | undefined;
}

/** The mails that are owed to an address, oldest first, opened. */
export async function mailsTo(auth: AuthUnderTest, email: string): Promise<OwedMail[]> {
  const jobs = await auth.rows<{ payload: Mail; secret: Buffer | null }>(
    `select payload, secret from events.jobs where payload->>'to' = $1 order by created_at, id`,
    [email],
  );
  return jobs.map(({ payload, secret }) => ({
    payload,
    secret: secret ? open(auth.deps.secrets.mail, secret, MAIL_SECRET.aad).toString() : undefined,
  }));
}

/** The token of the newest mail of a template to an address; fails when there is none. */
export async function tokenSentTo(auth: AuthUnderTest, email: string, template: Mail['template']): Promise<string> {
  const mail = (await mailsTo(auth, email)).findLast(({ payload }) => payload.template === template);
  if (!mail?.secret) throw new Error(`no mail ${template} with a token was sent to ${email}`);
  return mail.secret;
}

export async function templatesTo(auth: AuthUnderTest, email: string): Promise<string[]> {
  return (await mailsTo(auth, email)).map(({ payload }) => payload.template);
}

let networks = 0;
/** A client from a network of its own, so that no network's budget is what is tested. */
export function elsewhere(auth: AuthUnderTest, headers: Record<string, string> = {}) {
  networks += 1;
  const address = `10.${(networks >> 8) & 255}.${networks & 255}.1`;
  return auth.as({ kind: 'anonymous' }, { 'x-forwarded-for': address, ...headers });
}

/** What a client can see of an answer, but for ids and times. */
export function shapeOf({ status, body, headers }: { status: number; body: unknown; headers: Headers }) {
  const { request_id: _, ...rest } = (body ?? {}) as Record<string, unknown>;
  const sized = [...headers].filter(([name]) => name !== 'date' && name !== 'x-request-id');
  return { status, body: rest, headers: Object.fromEntries(sized) };
}
