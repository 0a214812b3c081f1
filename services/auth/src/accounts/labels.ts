import { hmac } from '@gatehouse/kit/crypto';
import type { Deps } from '../deps.ts';

/** How the log names an address without telling it: who typed a password into the wrong field is not exposed. */
export function accountLabel({ secrets }: Pick<Deps, 'secrets'>, email: string): string {
  return hmac(secrets.budgets, `account\n${email}`).toString('hex', 0, 16);
}
