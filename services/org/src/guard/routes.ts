import { ApiKeyFact, GuardFact } from '@gatehouse/contracts/facts';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { getApiKey, getGuard } from './guard.ts';

const Hash = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hexadecimal');

/** What the gateway asks before it lets a request pass. */
export function guardRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/internal/guard/:org_id/:user_id',
      summary: 'State of an organization and role of a user in it',
      permission: 'internal',
      params: z.strictObject({ org_id: z.uuid(), user_id: z.uuid() }),
      answers: { 200: GuardFact },
      handle: ({ params }) => getGuard(deps, params.org_id, params.user_id),
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
