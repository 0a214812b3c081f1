import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { listOrganizationNames } from './store.ts';
import { passwordWeakness } from './strength.ts';

// Judged by code points later; this only bounds what is looked at.
const MAX_UNITS = 1024;

/** A password in a request, whatever it may be worth. */
export const Password = z.string().min(1, 'must not be empty').max(MAX_UNITS, 'is too long');

const SHORTEST_WITH_SECOND_FACTOR = 8;

/** How long a password must be: shorter will do where nobody signs in with it alone. */
function minLengthOf({ PASSWORD_MIN_LENGTH, SECOND_FACTOR_REQUIRED_FOR }: Deps['config']): number {
  return SECOND_FACTOR_REQUIRED_FOR === 'everyone' ? SHORTEST_WITH_SECOND_FACTOR : PASSWORD_MIN_LENGTH;
}

/** What an attacker tries first for a user, beside the address: the names of the person and of the organizations. */
export async function guessableWords(
  { pool }: Pick<Deps, 'pool'>,
  { user_id = null, org_id = null, words }: { user_id?: string | null; org_id?: string | null; words: string[] },
): Promise<string[]> {
  return [...words, ...(await listOrganizationNames(pool, { user_id, org_id }))];
}

/** Throws `request.invalid` when a new password is too short, too long or among the first to be guessed. */
export function assertStrong(
  { config }: Pick<Deps, 'config'>,
  password: string,
  words: string[],
  pointer = '/password',
): void {
  const context = { minLength: minLengthOf(config), words: ['gatehouse', ...words] };
  const message = passwordWeakness(password, context);
  if (message === undefined) return;
  throw new AppError('request.invalid', `The password ${message}.`, { details: [{ pointer, message }] });
}
