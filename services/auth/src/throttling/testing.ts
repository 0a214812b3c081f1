import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import { hmac, open } from '@gatehouse/kit/crypto';
import type { Answer } from '@gatehouse/testkit/server';
import { expect } from '@jest/globals';
import { type AuthUnderTest, type Instance, PASSWORD } from '../testing.ts';

interface From {
  address?: string;
  cookie?: string | undefined;
  instance?: Instance;
}

let networks = 0;

/** Strangers at the door, and what they and operators see. */
export function strangers(auth: () => AuthUnderTest) {
  /** A network that nobody has tried from before. */
  const elsewhere = () => `10.${Math.floor(++networks / 250)}.${networks % 250}.1`;

  const tried = (email: string, password: string, { address = elsewhere(), cookie, instance = auth() }: From = {}) =>
    instance
      .as({ kind: 'anonymous' }, { 'x-forwarded-for': address, ...(cookie ? { cookie } : {}) })
      .post('/api/auth/login', { email, password });
  const wrong = (email: string, from?: From) => tried(email, 'a wrong password indeed', from);
  const right = (email: string, from?: From) => tried(email, PASSWORD, from);

  const deviceOf = (answer: Answer) =>
    /__Host-gatehouse_device=[^;]+/.exec(answer.headers.get('set-cookie') ?? '')?.[0];
  const bucketOf = (lane: string) => hmac(auth().deps.secrets.budgets, lane);

  /** Fails as a stranger, from one network after the other and as soon as it may, until the account is locked. */
  async function lock(email: string, tries = auth().deps.config.LOGIN_LOCK_FAILURES): Promise<void> {
    for (let n = 0; n < tries; n++) {
      const early = await wrong(email);
      if (early.status === 429) {
        auth().clock.advance(Number(early.headers.get('retry-after')) * 1000);
        expect((await wrong(email)).status).toBe(401);
      }
    }
  }

  const failures = async (userId: string, reason: string) =>
    (await auth().events('auth.login_failed.v1')).filter(
      ({ data }) => data['user_id'] === userId && data['reason'] === reason,
    ).length;

  async function mailsTo(email: string) {
    const rows = await auth().rows<{ payload: { template: string; params: Record<string, string> }; secret: Buffer }>(
      `select payload, secret from events.jobs where payload ->> 'to' = $1 and payload ->> 'template' = 'sign-in-blocked'`,
      [email],
    );
    return rows.map(({ payload, secret }) => ({
      ...payload,
      token: open(auth().deps.secrets.mail, secret, MAIL_SECRET.aad).toString(),
    }));
  }
  const unlock = (token: string) => auth().anonymous.post('/api/auth/unlock', { token });

  /** What a stranger sees, but for what differs from one answer to the next anyway. */
  const seen = ({ status, headers, body }: Answer) => {
    const kept = [...headers].filter(([name]) => !['date', 'x-request-id'].includes(name)).sort();
    return JSON.stringify({ status, headers: kept, body: { ...body, request_id: '' } });
  };

  return { elsewhere, wrong, right, deviceOf, bucketOf, lock, failures, mailsTo, unlock, seen };
}
