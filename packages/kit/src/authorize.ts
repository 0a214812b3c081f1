import type { Identity } from '@gatehouse/contracts/identity';
import type { Endpoint } from './endpoint.ts';
import { AppError } from './errors.ts';

/**
 * Decides whether an identity may call an endpoint, and takes `:org_id` out of the path parameters it has checked.
 * Throws `auth.required` (nobody), `access.denied` (somebody, not allowed) or `not_found` (may not know of it).
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
  if (!orgPermission) return;
  if (params.org_id !== undefined && params.org_id !== identity.org?.id) throw new AppError('not_found');
  if (!identity.org) throw new AppError('request.invalid', 'Name the organization by path or by x-org-id.');
  delete params.org_id;
  if (!identity.org.permissions.includes(orgPermission)) throw new AppError('access.denied');
}
