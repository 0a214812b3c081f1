import type { Tx } from '@gatehouse/kit/db';
import { newId } from '@gatehouse/kit/ids';
import { confirmSeed, deleteFactorsOf, replacePending } from './store.ts';
import { type SealingDeps, sealSeed } from './totp.ts';

/**
 * Makes an authenticator app with this seed the user's only second factor, or takes every one away. For accounts of
 * machines, whose seed is known beforehand; people prove that they have the app.
 */
export async function giveTotp(
  deps: SealingDeps,
  tx: Tx,
  { user_id, secret, now }: { user_id: string; secret: string | undefined; now: Date },
): Promise<void> {
  await deleteFactorsOf(tx, user_id);
  if (secret === undefined) return;
  const id = newId();
  const secret_sealed = sealSeed(deps, secret, id, user_id);
  await replacePending(tx, { id, user_id, method: 'totp', secret_sealed, bound_to: id, now, expires_at: now });
  await confirmSeed(tx, id, 0, now);
}
