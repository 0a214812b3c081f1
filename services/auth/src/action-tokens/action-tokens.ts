import { randomToken, sha256 } from '@gatehouse/kit/crypto';
import type { Db, Tx } from '@gatehouse/kit/db';
import type { Deps } from '../deps.ts';
import { deleteTokens, findToken, insertToken, takeToken } from './store.ts';

/** What a link in a mail may be good for. */
export type Purpose =
  | 'verify_address'
  | 'password_reset'
  | 'unlock'
  | 'not_me'
  | 'email_change_old'
  | 'email_change_new'
  | 'restore_account';

interface Issue {
  purpose: Purpose;
  user_id: string;
  /** Where the link is sent. */
  email: string;
  lifeMs: number;
  data?: Record<string, unknown>;
}

/** Makes a link's token, 256 bits, of which only the hash is kept. */
export async function issueToken({ clock }: Pick<Deps, 'clock'>, tx: Tx, { lifeMs, ...issue }: Issue) {
  const token = randomToken();
  const now = clock();
  const expires_at = new Date(now.getTime() + lifeMs);
  await insertToken(tx, { data: {}, ...issue, token_hash: sha256(token), now, expires_at });
  return { token, expires_at };
}

/**
 * What a token stands for, as long as it is good; it stays so. The row of its user is locked before it is used up: in this
 * order everywhere, so that no two transactions wait for each other.
 */
export function peekToken({ clock }: Pick<Deps, 'clock'>, db: Db, purpose: Purpose, token: string) {
  return findToken(db, purpose, sha256(token), clock());
}

/** Uses a token up: of many at one instant one gets what it stands for, the others and later ones undefined. */
export function redeemToken({ clock }: Pick<Deps, 'clock'>, tx: Tx, purpose: Purpose, token: string) {
  return takeToken(tx, purpose, sha256(token), clock());
}

/** Makes the links of a user worthless; all of them, or those of some purposes. */
export function cancelTokens(tx: Tx, userId: string, purposes?: readonly Purpose[]): Promise<void> {
  return deleteTokens(tx, userId, purposes);
}
