import { API_KEY_SCOPES } from '@gatehouse/contracts/api-keys';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { Page, pageOf } from '@gatehouse/kit/page';
import { line } from '@gatehouse/kit/text';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { createKey, listKeys, revokeKey, rotateKey } from './api-keys.ts';
import { Network, OVERLAP_DEFAULT_SECONDS, OVERLAP_MAX_SECONDS, Rule, Scope } from './limits.ts';
import { ApiKey } from './store.ts';

const unique = (values: readonly string[]) => new Set(values).size === values.length;
const Expiry = z.iso.datetime({ offset: true }).max(40);
const NewKey = z.strictObject({
  name: line(100),
  scopes: z.array(Scope).min(1).max(API_KEY_SCOPES.length).refine(unique, 'must not repeat').default(API_KEY_SCOPES),
  rules: z.array(Rule).max(50).default([]),
  addresses: z.array(Network).max(50).default([]),
  expires_at: Expiry.optional(),
});
const Rotation = z.strictObject({
  overlap_seconds: z.int().min(0).max(OVERLAP_MAX_SECONDS).default(OVERLAP_DEFAULT_SECONDS),
  expires_at: Expiry.optional(),
});
const KeyId = z.strictObject({ key_id: z.uuid() });
/** A repeated request is answered without `key`, which is nowhere but in the first answer. */
const CreatedKey = ApiKey.extend({ key: z.string().optional() });

export function apiKeyRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/org/:org_id/api-keys',
      summary: 'List the API keys of an organization, newest first',
      permission: 'api_keys:read',
      query: Page,
      answers: { 200: pageOf(ApiKey) },
      handle: ({ org, query }) => listKeys(deps, org.id, query),
    }),
    endpoint({
      post: '/api/org/:org_id/api-keys',
      summary: 'Create an API key; the answer is the only place where it is shown',
      description:
        'Without `scopes` the key reaches proxy, standalone and telemetry; without `rules` every method and path of ' +
        'them; without `addresses` it may be used from anywhere; without `expires_at` it lives a year, at most two.',
      permission: 'api_keys:write',
      body: NewKey,
      answers: { 201: CreatedKey },
      errors: ['api_key.limit_reached', 'org.suspended'],
      handle: ({ actor, body }) => createKey(deps, actor, body),
    }),
    endpoint({
      post: '/api/org/:org_id/api-keys/:key_id/rotate',
      summary: 'Replace an API key; the old one lives on for the overlap, a day by default',
      permission: 'api_keys:write',
      params: KeyId,
      body: Rotation,
      answers: { 201: CreatedKey },
      errors: ['api_key.not_found', 'api_key.not_usable', 'org.suspended'],
      handle: ({ actor, params, body }) =>
        rotateKey(deps, actor, {
          keyId: params.key_id,
          overlapSeconds: body.overlap_seconds,
          expires_at: body.expires_at,
        }),
    }),
    endpoint({
      delete: '/api/org/:org_id/api-keys/:key_id',
      summary: 'Revoke an API key',
      permission: 'api_keys:write',
      params: KeyId,
      answers: { 204: z.void() },
      errors: ['api_key.not_found', 'org.suspended'],
      handle: ({ actor, params }) => revokeKey(deps, actor, params.key_id),
    }),
  ];
}
