import type { JobPayload } from '@gatehouse/contracts/jobs';
import type { Actor } from '@gatehouse/kit/actor';
import type { Tx } from '@gatehouse/kit/db';
import { enqueue } from '@gatehouse/kit/outbox';
import type { User } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';

type Change = Extract<JobPayload<'mail.send'>, { template: 'factor-changed' }>['params']['change'];

/** Tells the owner by mail that a second factor of the account changed, from where and when. */
export async function mailChange({ clock }: Pick<Deps, 'clock'>, tx: Tx, actor: Actor, user: User, change: Change) {
  const { agent: device, address } = actor;
  const params = { name: user.name, change, device, address, at: clock().toISOString() };
  await enqueue(tx, 'mail.send', { template: 'factor-changed', to: user.email, params });
}
