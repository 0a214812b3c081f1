import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { takeReport } from './reports.ts';

const FINDINGS_MAX = 100;
const BODY_MAX_BYTES = 256 * 1024;

// As the partner sends it: what it may add one day must not turn its reports away.
const Finding = z.object({
  token: z.string(),
  type: z.string().max(256).default(''),
  url: z
    .string()
    .nullish()
    .transform((url) => url ?? ''),
  source: z
    .string()
    .nullish()
    .transform((source) => source ?? ''),
});

const Label = z.object({
  /** SHA-256 of the token, hexadecimal. */
  token_hash: z.string(),
  token_type: z.string(),
  label: z.enum(['true_positive', 'false_positive']),
});

export function secretScanningRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/secret-scanning/reports',
      summary: 'Report API keys that were found in public',
      description:
        'For GitHub as a secret scanning partner. `Github-Public-Key-Identifier` names one of the keys at ' +
        'SECRET_SCANNING_KEYS_URL, `Github-Public-Key-Signature` is its ECDSA signature (P-256, SHA-256, DER in ' +
        'base64) of the body as it is sent. A key that is alive is revoked at once, and the owners and admins of its ' +
        'organization get a mail. A token that is no key, or a key that is dead already, is a `false_positive`; so a ' +
        'report may be sent again. Where no such address is set, this does not exist.',
      permission: 'public',
      before: async () => {
        if (!deps.scanningKeys) throw new AppError('not_found');
      },
      body: z.array(Finding).min(1).max(FINDINGS_MAX),
      bodyLimit: BODY_MAX_BYTES,
      answers: { 200: z.array(Label) },
      errors: ['api_key.report_refused', 'dependency_unavailable', 'not_found'],
      handle: ({ actor, body, rawBody, headers }) => takeReport(deps, actor, { findings: body, rawBody, headers }),
    }),
  ];
}
