import { timingSafeEqual } from 'node:crypto';
import { hmac } from '@gatehouse/kit/crypto';
import type { User } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';

export type Stateful = Pick<User, 'id' | 'email' | 'role' | 'status' | 'password_hash' | 'password_reset_required'>;

/**
 * What an account is, in a form that tells nothing: whatever was proved while it was otherwise proves nothing any more.
 * One for each key; the first is the one to keep.
 */
export function accountStates({ secrets }: Pick<Deps, 'secrets'>, user: Stateful): Buffer[] {
  const { id, email, role, status, password_hash, password_reset_required } = user;
  const state = JSON.stringify(['account state', id, email, role, status, password_hash, password_reset_required]);
  return secrets.codes.map((key) => hmac(key, state));
}

/** Whether an account is still what it was. */
export function isUnchanged(deps: Pick<Deps, 'secrets'>, user: Stateful, state: Buffer): boolean {
  return accountStates(deps, user).some((one) => one.length === state.length && timingSafeEqual(one, state));
}
