import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { PublicJwk } from '@gatehouse/kit/identity';
import type { KeySet } from '../credentials/jwks.ts';
import { REFUSALS, type Refusal } from '../errors/problem.ts';
import { linkPage } from './link-pages/link-page.ts';
import { LINK_PAGES } from './link-pages/pages.ts';

export interface OwnAnswer {
  body: string | Buffer;
  headers: string[];
}

export interface OwnEndpoint {
  template: string;
  answer(): OwnAnswer | Refusal | Promise<OwnAnswer>;
}

interface Options {
  service: string;
  version: string;
  keys: KeySet;
  identityJwk: PublicJwk;
  /** The generated API reference; 404 while it was not generated. */
  openapiFile: string;
}

const JSON_TYPE = ['content-type', 'application/json'];
const DOCS = '/api/docs';
const ASSETS: Record<string, string> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};

const START = `window.addEventListener('load', () => {
  window.ui = SwaggerUIBundle({ url: '/api/openapi.json', dom_id: '#docs', deepLinking: true, validatorUrl: null });
});
`;
const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Gatehouse API</title>
<link rel="icon" href="${DOCS}/favicon-32x32.png">
<link rel="stylesheet" href="${DOCS}/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="${DOCS}/swagger-ui-bundle.js"></script>
<script src="${DOCS}/start.js"></script>
</body>
</html>
`;
// Swagger UI sets style attributes; scripts come from here only, and nothing is loaded from anywhere else.
const DOCS_CSP = [
  'content-security-policy',
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
];

/** What the gateway answers itself, by exact path; all of it public, none of it secret. */
export function createOwnEndpoints({ service, version, keys, identityJwk, openapiFile }: Options) {
  const endpoints = new Map<string, OwnEndpoint>();
  const fixed = (path: string, body: string | Buffer, headers: string[], template = path) =>
    endpoints.set(path, { template, answer: () => ({ body, headers: [...headers] }) });

  fixed('/', JSON.stringify({ service, version }), JSON_TYPE);
  fixed('/health', '{"status":"healthy"}', [...JSON_TYPE, 'cache-control', 'no-store']);

  endpoints.set('/.well-known/jwks.json', {
    template: '/.well-known/jwks.json',
    async answer() {
      const published = [...(await keys.published()), identityJwk];
      return {
        body: JSON.stringify({ keys: published }),
        headers: [...JSON_TYPE, 'cache-control', 'public, max-age=300'],
      };
    },
  });

  if (existsSync(openapiFile)) {
    const body = readFileSync(openapiFile);
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
    fixed('/api/openapi.json', body, [...JSON_TYPE, 'cache-control', 'public, max-age=300', 'etag', etag]);
  } else {
    endpoints.set('/api/openapi.json', { template: '/api/openapi.json', answer: () => REFUSALS.notFound });
  }

  for (const page of LINK_PAGES) {
    const { body, headers } = linkPage(page);
    fixed(page.path, body, headers);
  }

  const page = ['content-type', 'text/html; charset=utf-8', 'cache-control', 'no-store', ...DOCS_CSP];
  fixed(DOCS, PAGE, page);
  fixed(`${DOCS}/`, PAGE, page, DOCS);
  const cached = ['cache-control', 'public, max-age=3600', 'x-content-type-options', 'nosniff'];
  fixed(`${DOCS}/start.js`, START, ['content-type', 'text/javascript; charset=utf-8', ...cached], `${DOCS}/*`);
  const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  for (const [name, type] of Object.entries(ASSETS))
    fixed(`${DOCS}/${name}`, readFileSync(join(folder, name)), ['content-type', type, ...cached], `${DOCS}/*`);
  return endpoints;
}
