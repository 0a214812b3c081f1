import type { Actor } from '@gatehouse/kit/actor';
import { type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { publish } from '@gatehouse/kit/outbox';
import { accountLabel, type User } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';
import { mayMail, spendMailOf } from '../mails/mails.ts';
import { anybody, rollBackTo, savepoint } from './store.ts';

/** Who a mail is written to. */
export type Recipient = Pick<User, 'id' | 'email' | 'name' | 'confirm_by'>;

interface Request {
  email: string;
  user: User | undefined;
  /** What the log calls it. */
  asked: 'auth.password_reset_requested.v1' | 'auth.confirmation_requested.v1';
}

/**
 * Lets anybody cause a mail to an address without telling whether that address has an account: for one that has none,
 * or that has had its mails of the hour, the same statements run for somebody else's row and are taken back. Tells
 * whether a mail was owed. Beyond the network's budget it throws `rate_limited`, for every address alike.
 */
export async function answerAllAlike(
  deps: Deps,
  actor: Actor,
  { email, user, asked }: Request,
  work: (tx: Tx, recipient: Recipient) => Promise<void>,
): Promise<boolean> {
  await spendMailOf(deps, actor).catch(async (error) => {
    if (error instanceof AppError && error.code === 'rate_limited')
      await publish(
        deps.pool,
        actor,
        asked,
        { account: accountLabel(deps, email), sent: false },
        { outcome: 'denied' },
      );
    throw error;
  });
  const wanted = (await mayMail(deps, email)) && user !== undefined;
  return transaction(deps.pool, async (tx) => {
    const stand_in = await anybody(tx);
    await savepoint(tx);
    const recipient = wanted ? user : stand_in && { ...stand_in, email, name: email, confirm_by: null };
    if (recipient) await work(tx, recipient);
    if (!wanted) await rollBackTo(tx);
    return wanted;
  });
}
