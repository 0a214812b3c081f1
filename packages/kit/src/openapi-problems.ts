import { ERRORS, type ErrorCode } from '@gatehouse/contracts/errors';
import { FRESH_PROOF_SECONDS } from '@gatehouse/contracts/identity';
import type { Endpoint } from './endpoint.ts';
import { AppError, toProblem } from './errors.ts';
import { freshProof, SECOND_FACTOR_PROOF } from './proof.ts';

type Json = Record<string, unknown>;

const CODES = Object.keys(ERRORS) as ErrorCode[];
const ALWAYS: readonly ErrorCode[] = ['request.invalid', 'rate_limited', 'internal', 'dependency_unavailable'];
const REQUEST_ID = '0190f2a7c1d27cc0a3f1b2c3d4e5f607';
const SESSION_SECONDS = 8 * 60 * 60;

const PROOF = {
  type: 'object',
  description: 'What the caller must prove first, and where. Then the same request works.',
  required: ['post'],
  properties: {
    post: { type: 'string', description: 'Where the proof is given.' },
    enrol: { type: 'string', description: 'Where a second factor is set up by who has none.' },
    second_factor: { type: 'boolean', description: 'The proof must hold a second factor.' },
    max_age_seconds: { type: 'integer', description: 'How old the proof may be.' },
  },
};

/** What every refusal looks like. */
export const PROBLEM: Json = {
  type: 'object',
  description: 'RFC 9457 problem details',
  required: ['type', 'title', 'status', 'detail', 'code', 'request_id'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', enum: CODES },
    request_id: { type: 'string' },
    errors: {
      type: 'array',
      items: { type: 'object', properties: { pointer: { type: 'string' }, message: { type: 'string' } } },
    },
    proof: PROOF,
  },
};

/** An example of each problem, by its code. */
export const PROBLEM_EXAMPLES: Json = Object.fromEntries(
  CODES.map((code) => [code, { summary: ERRORS[code].title, value: toProblem(exampleOf(code), REQUEST_ID) }]),
);

function exampleOf(code: ErrorCode): AppError {
  switch (code) {
    case 'request.invalid':
      return new AppError(code, undefined, { details: [{ pointer: '/email', message: 'must be an e-mail address' }] });
    case 'auth.second_factor_required':
      return new AppError(code, undefined, { extensions: SECOND_FACTOR_PROOF.extensions });
    case 'auth.reauth_required':
      return new AppError(code, undefined, { extensions: freshProof(FRESH_PROOF_SECONDS).extensions });
    case 'org.session_too_old':
      return new AppError(code, undefined, { extensions: freshProof(SESSION_SECONDS).extensions });
    default:
      return new AppError(code);
  }
}

/** Headers that come with problems of a status, whatever the endpoint. */
const HEADERS: Record<number, Json> = {
  401: { 'WWW-Authenticate': header('How to authenticate (RFC 6750)') },
  429: {
    'Retry-After': header('Seconds after which it is worth another try'),
    'RateLimit-Policy': header('The limits that count here'),
    RateLimit: header('What is left of the limit that ran out'),
  },
  503: { 'Retry-After': header('Seconds after which it is worth another try') },
};
const STEP_UP = { 'WWW-Authenticate': header('The proof that is missing (RFC 9470)') };

export function header(description: string): Json {
  return { description, schema: { type: 'string' } };
}

/** The codes that an endpoint answers with: its own, and those that its permission, proofs and body bring along. */
export function codesOf({ path, permission, orgPermission, ...rest }: Endpoint): ErrorCode[] {
  const { errors, body, idempotent, fresh, secondFactor } = rest;
  const closed = permission !== 'public';
  // The gateway holds the policies of platform and organization against everything but the way in itself.
  const guarded = closed && !path.startsWith('/api/auth/');
  const codes = new Set<ErrorCode>([
    ...ALWAYS,
    ...errors,
    ...(closed ? (['auth.required', 'auth.session_ended', 'access.denied', 'not_found'] as const) : []),
    ...(orgPermission ? (['org.session_too_old'] as const) : []),
    ...(secondFactor || guarded ? (['auth.second_factor_required'] as const) : []),
    ...(fresh ? (['auth.reauth_required'] as const) : []),
    ...(body ? (['request.malformed', 'request.too_large', 'request.unsupported_media_type'] as const) : []),
    ...(idempotent ? (['idempotency.in_progress', 'idempotency.mismatch'] as const) : []),
  ]);
  return [...codes];
}

/** The refusals among codes as OpenAPI responses, each code with its example. */
export function problemResponses(codes: readonly ErrorCode[]): Record<string, Json> {
  const byStatus = Map.groupBy(new Set(codes), (code) => ERRORS[code].status);
  const responses = [...byStatus].map(([status, grouped]) => {
    const examples = Object.fromEntries(grouped.map((code) => [code, { $ref: `#/components/examples/${code}` }]));
    const asksProof = grouped.includes('auth.reauth_required') || grouped.includes('auth.second_factor_required');
    const headers = { ...HEADERS[status], ...(asksProof ? STEP_UP : {}) };
    const content = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' }, examples } };
    const description = grouped.map((code) => ERRORS[code].title).join('; ');
    return [status, { description, ...(Object.keys(headers).length > 0 ? { headers } : {}), content }];
  });
  return Object.fromEntries(responses);
}
