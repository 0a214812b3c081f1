import { ApiKeyFact, FACTS_ASKED_MAX, GuardFact, GuardFacts } from '@gatehouse/contracts/facts';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { getApiKey, getGuard, getGuards } from './guard.ts';

const Hash = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hexadecimal');
// In the spelling that answers and cached facts are named by.
const Id = z.uuid().toLowerCase();
const Pair = z.strictObject({ org_id: Id, user_id: Id });

/** What the gateway asks before it lets a request pass. */
export function guardRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/internal/guard/:org_id/:user_id',
      summary: 'State of an organization and role of a user in it',
      permission: 'internal',
      params: Pair,
      answers: { 200: GuardFact },
      handle: ({ params }) => getGuard(deps, params),
    }),
    endpoint({
      post: '/internal/guard',
      summary: 'The same for many at once',
      permission: 'internal',
      body: z.strictObject({ pairs: z.array(Pair).min(1).max(FACTS_ASKED_MAX) }),
      answers: { 200: GuardFacts },
      handle: ({ body }) => getGuards(deps, body.pairs),
    }),
    endpoint({
      get: '/internal/api-keys/:hash',
      summary: 'What an API key may do, by its hash',
      permission: 'internal',
      params: z.strictObject({ hash: Hash }),
      answers: { 200: ApiKeyFact },
      errors: ['not_found'],
      // The address of whoever uses the key, as the gateway passes it on.
      handle: ({ actor, params }) => getApiKey(deps, params.hash, actor.address),
    }),
  ];
}
