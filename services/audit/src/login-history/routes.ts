import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { Page, pageOf } from '@gatehouse/kit/page';
import type { LogDeps } from '../log/entries.ts';
import { HistoryEntry, readHistory } from './history.ts';

export function loginHistoryRoutes({ pool }: LogDeps): Endpoint[] {
  return [
    endpoint({
      get: '/api/auth/login-history',
      summary: 'List the sign-ins to the own account, and attempts at it, newest first',
      description:
        'Sign-ins and failures, second factors, new devices, locks and ended sessions, as the audit log has them; ' +
        'a moment passes until it does. `reason` says why something was refused or ended.',
      permission: 'user',
      query: Page,
      answers: { 200: pageOf(HistoryEntry) },
      handle: ({ actor, query }) => readHistory(pool, actor, query),
    }),
  ];
}
