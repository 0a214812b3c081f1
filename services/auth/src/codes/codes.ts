import { randomInt, timingSafeEqual } from 'node:crypto';
import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import type { Actor } from '@gatehouse/kit/actor';
import { hmac, seal } from '@gatehouse/kit/crypto';
import type { Tx } from '@gatehouse/kit/db';
import { enqueue, publish } from '@gatehouse/kit/outbox';
import type { User } from '../accounts/accounts.ts';
import { trySpend, usedUp } from '../budgets/budgets.ts';
import type { Deps } from '../deps.ts';
import { accountStates, type Stateful } from './account-state.ts';
import {
  type CodePurpose,
  type CodeScope,
  countTry,
  deleteCode,
  deleteCodesOf,
  findWindowEnd,
  replaceCode,
} from './store.ts';

export { type CodePurpose, deleteCodesBoundTo } from './store.ts';

export const CODE_LIFE_SECONDS = 600;
const TRIES = 5;
const SENDS = 3;
const MAILS_PER_ADDRESS = { limiter: 'code_mail', max: 10, windowSeconds: 3600 } as const;

type CodeDeps = Pick<Deps, 'pool' | 'clock' | 'secrets' | 'metrics'>;
type Owner = Pick<User, 'name'> & Stateful;

interface Request {
  purpose: CodePurpose;
  /** The challenge or session that asks; the code is worth nothing anywhere else. */
  bound_to: string;
}

/**
 * Mails a code of six digits in the caller's transaction, which holds the user's row. The former one is worthless from
 * now on, and the tries and sends of its window stay counted. Throws `rate_limited`.
 */
export async function sendCode(deps: CodeDeps, tx: Tx, actor: Actor, user: Owner, { purpose, bound_to }: Request) {
  const now = deps.clock();
  const scope: CodeScope = { user_id: user.id, purpose, bound_to };
  const code = String(randomInt(1_000_000)).padStart(6, '0');
  const expires_at = new Date(now.getTime() + CODE_LIFE_SECONDS * 1000);
  const code_mac = macsOf(deps, user, scope, code)[0] as Buffer;
  const replaced = await replaceCode(tx, { ...scope, code_mac, now, expires_at, sendsMax: SENDS, triesMax: TRIES });
  if (!replaced) {
    const waitMs = (await findWindowEnd(tx, scope)).getTime() - now.getTime();
    throw usedUp({ max: SENDS, windowSeconds: CODE_LIFE_SECONDS }, seconds(waitMs));
  }
  const budget = { ...MAILS_PER_ADDRESS, subject: user.email };
  const wait = await trySpend(deps, budget, tx);
  if (wait !== undefined) throw usedUp(budget, wait);
  const { name, email } = user;
  await enqueue(
    tx,
    'mail.send',
    {
      template: 'code',
      to: email,
      params: { name, purpose, minutes: CODE_LIFE_SECONDS / 60 },
      expires_at: expires_at.toISOString(),
    },
    { secret: seal(deps.secrets.mail, code, MAIL_SECRET.aad) },
  );
  await publish(
    tx,
    actor,
    'auth.code_sent.v1',
    { user_id: user.id, purpose },
    { target: { type: 'user', id: user.id } },
  );
}

/** Judges a code and uses it up when it is right; a wrong one costs one of its tries. */
export async function takeCode(deps: CodeDeps, tx: Tx, user: Owner, { purpose, bound_to }: Request, code: string) {
  const scope: CodeScope = { user_id: user.id, purpose, bound_to };
  const stored = await countTry(tx, scope);
  if (!stored || stored.tries > TRIES || stored.expires_at <= deps.clock()) return false;
  if (!macsOf(deps, user, scope, code).some((mac) => timingSafeEqual(mac, stored.code_mac))) return false;
  await deleteCode(tx, scope);
  return true;
}

/** Makes every code of a user worthless. */
export function cancelCodesOf(tx: Tx, userId: string): Promise<void> {
  return deleteCodesOf(tx, userId);
}

// The account's state is in it, so that a code dies with the password, address or role that it was sent under.
function macsOf(deps: CodeDeps, user: Owner, { purpose, bound_to }: CodeScope, code: string): Buffer[] {
  const states = accountStates(deps, user);
  return deps.secrets.codes.map((key, n) =>
    hmac(key, JSON.stringify([purpose, user.id, bound_to, states[n]?.toString('hex'), code])),
  );
}

const seconds = (ms: number) => Math.max(1, Math.ceil(ms / 1000));
