import { API_KEY_SCOPES } from '@gatehouse/contracts/api-keys';
import { canonicalAddress } from '@gatehouse/kit/addresses';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { Page, pageOf } from '@gatehouse/kit/page';
import { line } from '@gatehouse/kit/text';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { createKey, listKeys, renameKey, revokeKey, rotateKey } from './api-keys.ts';
import { checkKey, REASONS } from './check.ts';
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
const Renaming = z.strictObject({ name: line(100) });
const CheckedRequest = z.strictObject({
  method: z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']),
  path: z.string().max(10_000).startsWith('/').describe('As the client would send it, with or without a query'),
  address: z
    .string()
    .max(45)
    .refine((value) => canonicalAddress(value) !== undefined, 'must be an IP address')
    .describe('From where; without it the addresses of the key are not looked at')
    .optional(),
  org_id: z.uuid().describe('What the request says in x-org-id').optional(),
});
const Verdict = z.object({ allowed: z.boolean(), reason: z.enum(REASONS), detail: z.string() });
/** A repeated request is answered without `key`, which is nowhere but in the first answer. */
const CreatedKey = ApiKey.extend({ key: z.string().optional() });

export function apiKeyRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/org/:org_id/api-keys',
      summary: 'List the API keys of an organization, newest first',
      description:
        'Of each key what it may do, until when, and its last use: the time to the minute, and the network (IPv4 /24, ' +
        'IPv6 /64) from which it came. The key itself is nowhere.',
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
        'them; without `addresses` it may be used from anywhere; without `expires_at` it lives a year, at most two. ' +
        'The plan says how many keys may be in use at a time. Asks for a sign-in or a proof not older than ten minutes.',
      permission: 'api_keys:write',
      fresh: true,
      body: NewKey,
      answers: { 201: CreatedKey },
      errors: ['api_key.limit_reached', 'org.not_found', 'org.suspended'],
      handle: ({ actor, body }) => createKey(deps, actor, body),
    }),
    endpoint({
      post: '/api/org/:org_id/api-keys/:key_id/rotate',
      summary: 'Replace an API key; the old one lives on for the overlap, a day by default',
      description:
        'The new key has the scopes, rules and addresses of the old one. A key is replaced once: rotate its successor ' +
        'next, which ends the overlap of the first. Asks for a sign-in or a proof not older than ten minutes.',
      permission: 'api_keys:write',
      fresh: true,
      params: KeyId,
      body: Rotation,
      answers: { 201: CreatedKey },
      errors: ['api_key.not_found', 'api_key.not_usable', 'org.not_found', 'org.suspended'],
      handle: ({ actor, params, body }) =>
        rotateKey(deps, actor, {
          keyId: params.key_id,
          overlapSeconds: body.overlap_seconds,
          expires_at: body.expires_at,
        }),
    }),
    endpoint({
      post: '/api/org/:org_id/api-keys/:key_id/check',
      summary: 'Ask whether an API key may make a request, and why not',
      description:
        'A dry run: nothing is sent, counted or recorded. Decided by what the gateway decides by: the life of the key, ' +
        'the state of its organization, scopes, rules, addresses. Quotas are not looked at, since they change by the ' +
        'second; nor whether there is anything at the path.',
      permission: 'api_keys:read',
      params: KeyId,
      body: CheckedRequest,
      answers: { 200: Verdict },
      errors: ['api_key.not_found', 'org.not_found'],
      handle: ({ org, params, body }) => checkKey(deps, org.id, params.key_id, body),
    }),
    endpoint({
      patch: '/api/org/:org_id/api-keys/:key_id',
      summary: 'Rename an API key',
      description:
        'Its name is all that can change. What a key may do is fixed when it is made, so that nobody widens a key that ' +
        'others already hold, and the log says for all time what it could do: make another one, or rotate it. Asks for ' +
        'a sign-in or a proof not older than ten minutes.',
      permission: 'api_keys:write',
      fresh: true,
      params: KeyId,
      body: Renaming,
      answers: { 200: ApiKey },
      errors: ['api_key.not_found', 'org.not_found', 'org.suspended'],
      handle: ({ actor, params, body }) => renameKey(deps, actor, params.key_id, body.name),
    }),
    endpoint({
      delete: '/api/org/:org_id/api-keys/:key_id',
      summary: 'Revoke an API key',
      description: 'At once, within a second everywhere. A key that is dead already stays as it is.',
      permission: 'api_keys:write',
      params: KeyId,
      answers: { 204: z.void() },
      errors: ['api_key.not_found', 'org.not_found', 'org.suspended'],
      handle: ({ actor, params }) => revokeKey(deps, actor, params.key_id),
    }),
  ];
}
