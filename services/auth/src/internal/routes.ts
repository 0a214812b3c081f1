import { SessionFact } from '@gatehouse/contracts/facts';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { sessionFact } from '../sessions/sessions.ts';

export function internalRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/internal/sessions/:session_id',
      summary: 'Whether a session lives, and whose it is',
      permission: 'internal',
      params: z.strictObject({ session_id: z.uuid() }),
      answers: { 200: SessionFact },
      errors: ['auth.session_not_found'],
      handle: ({ params }) => sessionFact(deps, params.session_id),
    }),
  ];
}
