import type { AuthenticationMethod } from '@gatehouse/contracts/identity';
import type { User } from '../accounts/accounts.ts';
import { suffices } from './enrolment.ts';
import type { Factor, FactorMethod } from './methods.ts';

const SAID: Readonly<Record<FactorMethod, AuthenticationMethod>> = { totp: 'otp', recovery: 'otp', email: 'email' };

/**
 * How a session is authenticated once a second factor was proved beside what was proved before (RFC 8176). Codes by mail
 * alone do not make a platform admin's sign-in one with a second factor.
 */
export function amrOf(
  user: Pick<User, 'role'>,
  before: readonly AuthenticationMethod[] | undefined,
  method: FactorMethod,
  factors: readonly Pick<Factor, 'method'>[],
): AuthenticationMethod[] {
  const enough = suffices(user, factors) && (before ?? []).length > 0;
  return [...new Set<AuthenticationMethod>([...(before ?? []), SAID[method], ...(enough ? (['mfa'] as const) : [])])];
}
