import type { PlatformRole } from '@gatehouse/contracts/identity';
import type { Db } from '@gatehouse/kit/db';
import type { Config } from '../config.ts';
import { isAskedByOrganization } from './store.ts';

/** Whether the platform lets a user of that role in with a second factor only. Guests may do nothing that needs one. */
export function secondFactorRequired(
  { SECOND_FACTOR_REQUIRED_FOR: whom }: Pick<Config, 'SECOND_FACTOR_REQUIRED_FOR'>,
  role: PlatformRole,
): boolean {
  return whom === 'everyone' ? role !== 'guest' : whom === 'admins' && role === 'admin';
}

/** The same for one user, whose organizations may ask for it as well. */
export async function mustHaveSecondFactor(
  config: Pick<Config, 'SECOND_FACTOR_REQUIRED_FOR'>,
  db: Db,
  { id, role }: { id: string; role: PlatformRole },
): Promise<boolean> {
  if (role === 'guest') return false;
  if (secondFactorRequired(config, role)) return true;
  return isAskedByOrganization(db, id);
}
