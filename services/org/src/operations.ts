import { AppError } from '@gatehouse/kit/errors';
import { Replay } from '@gatehouse/kit/idempotency';
import type { Metrics } from '@gatehouse/kit/metrics';

const OPERATIONS = [
  'api_key_create',
  'api_key_leak_report',
  'api_key_rename',
  'api_key_revoke',
  'api_key_rotate',
  'invitation_accept',
  'invitation_create',
  'invitation_decline',
  'invitation_resend',
  'invitation_withdraw',
  'member_leave',
  'member_remove',
  'member_role_change',
  'organization_administer',
  'organization_create',
  'organization_delete',
  'organization_update',
  'ownership_transfer',
  'policies_change',
] as const;
export type Operation = (typeof OPERATIONS)[number];

export type Operations = <T>(operation: Operation, work: () => Promise<T>) => Promise<T>;

/** Counts every change by how it ended: done, refused to the caller, or failed by our fault. */
export function countOperations(metrics: Metrics): Operations {
  const total = metrics.counter({
    name: 'org_operations_total',
    help: 'Changes to organizations, members, invitations and API keys, by how they ended.',
    labels: { operation: OPERATIONS, outcome: ['success', 'refused', 'failed'] },
  });
  return async (operation, work) => {
    try {
      const result = await work();
      total.inc({ operation, outcome: 'success' });
      return result;
    } catch (error) {
      // A repeated request is answered from the store: nothing was done, and nothing refused.
      if (error instanceof Replay) throw error;
      const refused = error instanceof AppError && error.status < 500;
      total.inc({ operation, outcome: refused ? 'refused' : 'failed' });
      throw error;
    }
  };
}
