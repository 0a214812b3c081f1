import { MAIL_SECRET, type Mail } from '@gatehouse/contracts/jobs';
import type { Actor } from '@gatehouse/kit/actor';
import { seal } from '@gatehouse/kit/crypto';
import type { Db } from '@gatehouse/kit/db';
import { enqueue } from '@gatehouse/kit/outbox';
import { networkOf } from '../addresses.ts';
import { spend, trySpend } from '../budgets/budgets.ts';
import type { Deps } from '../deps.ts';

const PER_MAILBOX = { limiter: 'confirmation_mail', max: 3, windowSeconds: 3600 } as const;
const PER_NETWORK = { limiter: 'mail_network', max: 30, windowSeconds: 3600 } as const;

/** Owes a mail whose link or code nobody can read until it is sent. */
export async function mailSecret({ secrets }: Pick<Deps, 'secrets'>, db: Db, mail: Mail, secret: string) {
  await enqueue(db, 'mail.send', mail, { secret: seal(secrets.mail, secret, MAIL_SECRET.aad) });
}

/** Owes a mail that carries no secret. */
export async function mailNews(db: Db, mail: Mail): Promise<void> {
  await enqueue(db, 'mail.send', mail);
}

type BudgetDeps = Pick<Deps, 'pool' | 'clock' | 'metrics' | 'secrets'>;

/**
 * Whether a mailbox may get one more of the mails that anybody can cause: three an hour, whichever endpoint they come
 * from. Who asks for more gets the same answer, and nothing is sent.
 */
export async function mayMail(deps: BudgetDeps, email: string): Promise<boolean> {
  return (await trySpend(deps, { ...PER_MAILBOX, subject: mailboxOf(email) })) === undefined;
}

/** Counts a request of a network that causes a mail to whatever address; throws `rate_limited` beyond thirty an hour. */
export function spendMailOf(deps: BudgetDeps, actor: Actor): Promise<void> {
  return spend(deps, { ...PER_NETWORK, subject: networkOf(actor.address) });
}

/** `ada+1@` and `ada+2@` are one mailbox. */
function mailboxOf(email: string): string {
  const at = email.lastIndexOf('@');
  const [name = ''] = email.slice(0, at).split('+');
  return name === '' ? email : `${name}${email.slice(at)}`;
}

/** From where and when something happened, as its mail tells it. */
export function occasionOf({ clock }: Pick<Deps, 'clock'>, { agent, address }: Actor) {
  return { device: agent, address, at: clock().toISOString() };
}
