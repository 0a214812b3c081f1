import { type Endpoint, endpoint, METHODS } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import { LINK_PAGES } from './link-pages/pages.ts';

const answered = () => {
  throw new Error('declared for the reference only: the gateway answers this path itself');
};
const Html = z.string().meta({ mediaType: 'text/html', example: '<!doctype html><html lang="en">…</html>' });
const OpenApi = z.record(z.string(), z.unknown()).meta({ example: { openapi: '3.1.0', paths: {} } });
const Anything = z.unknown().meta({ example: { whatever: 'your application answers' } });
const Target = z.strictObject({ upstream: z.string(), path: z.string() });

/** What the gateway answers or forwards itself, as the API reference tells of it. */
export function endpoints(): Endpoint[] {
  return [
    endpoint({
      get: '/',
      summary: 'Name and version of the platform',
      permission: 'public',
      answers: { 200: z.object({ service: z.string(), version: z.string() }) },
      handle: answered,
    }),
    endpoint({
      get: '/health',
      summary: 'Whether the platform takes requests',
      permission: 'public',
      answers: { 200: z.object({ status: z.literal('healthy') }) },
      handle: answered,
    }),
    endpoint({
      get: '/.well-known/jwks.json',
      summary: 'Public keys of access tokens and identities (RFC 7517)',
      description: 'Upstreams verify the identity in `gatehouse-identity` with these. Keys are found by `kid`.',
      permission: 'public',
      answers: { 200: z.object({ keys: z.array(z.record(z.string(), z.string())) }) },
      handle: answered,
    }),
    endpoint({
      get: '/api/openapi.json',
      summary: 'This document',
      permission: 'public',
      answers: { 200: OpenApi },
      handle: answered,
    }),
    endpoint({
      get: '/api/docs',
      summary: 'This document as a page',
      permission: 'public',
      answers: { 200: Html },
      handle: answered,
    }),
    ...LINK_PAGES.map(({ path, title, endpoint: target }) =>
      endpoint({
        get: path,
        summary: `The page “${title}” that the link in a mail opens`,
        description: `Opening it changes nothing; its button posts the token, which stands behind the #, to \`${target}\`.`,
        permission: 'public',
        answers: { 200: Html },
        handle: answered,
      }),
    ),
    ...METHODS.flatMap((method) => [
      endpoint({
        [method]: '/api/proxy/:upstream/:path',
        summary: 'Your application, for members and API keys of an organization',
        description:
          'Everything below the upstream’s name is forwarded to it, streaming, with the signed identity in ' +
          '`gatehouse-identity`. A user names the organization in `x-org-id`; an API key has its own.',
        permission: 'user',
        params: Target,
        answers: { 200: Anything },
        errors: ['upstream.unavailable', 'upstream.timeout', 'upstream.circuit_open'],
        handle: answered,
      }),
      endpoint({
        [method]: '/api/standalone/:upstream/:path',
        summary: 'Your application, for signed-in users without an organization',
        permission: 'user',
        params: Target,
        answers: { 200: Anything },
        errors: ['upstream.unavailable', 'upstream.timeout', 'upstream.circuit_open'],
        handle: answered,
      }),
    ]),
  ];
}
