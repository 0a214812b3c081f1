import { FACTS_ASKED_MAX, SessionFact, SessionFacts } from '@gatehouse/contracts/facts';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { sessionFact, sessionFacts } from './session-facts.ts';

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
    endpoint({
      post: '/internal/sessions',
      summary: 'The same for many at once',
      permission: 'internal',
      // In the spelling that answers and cached facts are named by.
      body: z.strictObject({ session_ids: z.array(z.uuid().toLowerCase()).min(1).max(FACTS_ASKED_MAX) }),
      answers: { 200: SessionFacts },
      handle: ({ body }) => sessionFacts(deps, body.session_ids),
    }),
  ];
}
