import type { ErrorCode } from '@gatehouse/contracts/errors';
import type { OrgFact } from '@gatehouse/contracts/facts';
import { FRESH_PROOF_SECONDS, type Identity } from '@gatehouse/contracts/identity';
import type { OrgPermission } from '@gatehouse/contracts/permissions';
import type { Endpoint } from './endpoint.ts';
import { AppError } from './errors.ts';
import { freshProof, type ProofAsked, SECOND_FACTOR_PROOF } from './proof.ts';

/**
 * Decides whether an identity may call an endpoint, and takes `:org_id` out of the path parameters it has checked.
 * Throws `auth.required` (nobody), `access.denied` (somebody, not allowed), `not_found` (may not know of it), or what
 * the user must prove first: `auth.second_factor_required`, `auth.reauth_required`.
 */
export function authorize(endpoint: Endpoint, identity: Identity, params: Record<string, string>): void {
  const { permission, orgPermission } = endpoint;
  if (permission === 'internal') {
    if (identity.kind !== 'service') throw new AppError('not_found');
    return;
  }
  if (permission === 'public') return;
  if (identity.kind === 'anonymous') throw new AppError('auth.required');
  if (identity.kind !== 'user') throw new AppError('access.denied');
  if (identity.role === 'guest' && endpoint.method !== 'get' && !endpoint.guests)
    throw new AppError('access.denied', 'Confirm your e-mail address first.');
  if (permission === 'platform_admin' && identity.role !== 'admin') throw new AppError('access.denied');
  if (orgPermission) authorizeInOrg(orgPermission, identity, params);
  // Last, so that only who may do it at all is asked for a proof.
  assertProved(endpoint, identity);
}

function authorizeInOrg(orgPermission: OrgPermission, identity: Identity, params: Record<string, string>): void {
  if (params.org_id !== undefined && params.org_id !== identity.org?.id) throw new AppError('not_found');
  if (!identity.org) throw new AppError('request.invalid', 'Name the organization by path or by x-org-id.');
  delete params.org_id;
  if (!identity.org.permissions.includes(orgPermission)) throw new AppError('access.denied');
}

const CLOCK_TOLERANCE_SECONDS = 5;

type Proofs = Pick<Endpoint, 'fresh' | 'secondFactor'>;

/**
 * Step-up authentication; the header says what is missing in the words of RFC 9470, section 3. Throws
 * `auth.second_factor_required` or `auth.reauth_required`. A handler calls it where the body decides what must be proved.
 */
export function assertProved(
  { fresh, secondFactor }: Proofs,
  { amr, auth_time = 0 }: Pick<Identity, 'amr' | 'auth_time'>,
): void {
  if (secondFactor && !amr?.includes('mfa'))
    throw missing('auth.second_factor_required', undefined, SECOND_FACTOR_PROOF);
  // A trusted device stands for the second factor when one signs in. What changes the account wants the factor itself.
  const byTrust = amr?.includes('mfa') === true && !amr.includes('otp') && !amr.includes('email');
  const ageSeconds = Date.now() / 1000 - auth_time;
  if (fresh && (byTrust || ageSeconds > FRESH_PROOF_SECONDS + CLOCK_TOLERANCE_SECONDS))
    throw missing(
      'auth.reauth_required',
      'Prove who you are at /api/auth/reauthenticate, then try again.',
      freshProof(FRESH_PROOF_SECONDS),
    );
}

/**
 * Holds whoever acts for an organization to its policies as the gateway does, where neither path nor header named it.
 * Throws `auth.second_factor_required` or `org.session_too_old`.
 */
export function assertPolicies(
  { second_factor_required, session_max_seconds }: Pick<OrgFact, 'second_factor_required' | 'session_max_seconds'>,
  identity: Pick<Identity, 'amr' | 'auth_time'>,
): void {
  assertProved({ fresh: false, secondFactor: second_factor_required }, identity);
  if (session_max_seconds === null) return;
  const ageSeconds = Date.now() / 1000 - (identity.auth_time ?? 0);
  if (ageSeconds > session_max_seconds + CLOCK_TOLERANCE_SECONDS)
    throw missing(
      'org.session_too_old',
      `The organization asks for a sign-in within the last ${session_max_seconds} seconds.`,
      freshProof(session_max_seconds),
    );
}

function missing(code: ErrorCode, message: string | undefined, { extensions, challenge }: ProofAsked): AppError {
  return new AppError(code, message, { extensions, headers: { 'www-authenticate': challenge } });
}
