import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { passwordWeakness } from './strength.ts';

// Judged by code points later; this only bounds what is looked at.
const MAX_UNITS = 1024;

/** A password in a request, whatever it may be worth. */
export const Password = z.string().min(1, 'must not be empty').max(MAX_UNITS, 'is too long');

/** Throws `request.invalid` when a new password is too short, too long or among the first to be guessed. */
export function assertStrong(
  { config }: Pick<Deps, 'config'>,
  password: string,
  words: string[],
  pointer = '/password',
): void {
  const context = { minLength: config.PASSWORD_MIN_LENGTH, words: ['gatehouse', ...words] };
  const message = passwordWeakness(password, context);
  if (message === undefined) return;
  throw new AppError('request.invalid', `The password ${message}.`, { details: [{ pointer, message }] });
}
