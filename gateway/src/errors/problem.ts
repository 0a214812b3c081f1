import { ERRORS, type ErrorCode } from '@gatehouse/contracts/errors';
import { freshProof, type ProofAsked, SECOND_FACTOR_PROOF } from '@gatehouse/kit/proof';

/** A request that goes no further: what the client is told, and how it is counted. */
export interface Refusal {
  code: ErrorCode;
  detail: string;
  /** Label of `authz_decisions_total`; absent where nobody's permission was in question. */
  reason?: DecisionReason;
  /** Whether the refusal is written into the record of events. */
  recorded?: boolean;
  /** Flat list of more headers. */
  headers?: readonly string[];
  /** Members of the problem document beyond those of every other (RFC 9457, section 3.2). */
  extensions?: ProofAsked['extensions'];
  /** The connection cannot be used any longer. */
  close?: boolean;
}

export const DECISION_REASONS = [
  'ok',
  'anonymous',
  'ambiguous_credential',
  'bad_credential',
  'session_ended',
  'second_factor',
  'session_too_old',
  'key_unknown',
  'key_scope',
  'key_rule',
  'key_address',
  'org_unknown',
  'org_suspended',
  'org_missing',
  'origin',
  'rate_limited',
  'unavailable',
] as const;
export type DecisionReason = (typeof DECISION_REASONS)[number];

/** The problem document (RFC 9457) as text. */
export function problemBody(code: ErrorCode, detail: string, requestId: string, extensions?: object): string {
  return JSON.stringify({
    type: `urn:gatehouse:problem:${code}`,
    title: ERRORS[code].title,
    status: ERRORS[code].status,
    detail,
    code,
    request_id: requestId,
    ...extensions,
  });
}

const refuse = (code: ErrorCode, detail: string, more: Omit<Refusal, 'code' | 'detail'> = {}): Refusal => ({
  code,
  detail,
  ...more,
});

const BEARER = ['www-authenticate', 'Bearer realm="gatehouse"'];
const INVALID_TOKEN = ['www-authenticate', 'Bearer realm="gatehouse", error="invalid_token"'];

// Refusals without parameters are made once: an attack must not cost an object and a stack trace per request.
export const REFUSALS = {
  oddTarget: refuse('request.malformed', 'The path or query is not in its canonical form.'),
  longTarget: refuse('request.uri_too_long', 'The path and query are too long.'),
  method: refuse('method_not_allowed', 'The method is not allowed.', {
    headers: ['allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
  }),
  bodyOnGet: refuse('request.malformed', 'A GET or HEAD request has no body.'),
  framing: refuse('request.malformed', 'The framing of the request is ambiguous.', { close: true }),
  repeatedHeader: refuse('request.header_invalid', 'A header was given more than once.'),
  tooLarge: refuse('request.too_large', 'The body is too large.'),
  notFound: refuse('not_found', 'There is nothing here.'),
  upstreamUnknown: refuse('not_found', 'There is no such upstream.'),
  foreignOrigin: refuse('access.denied', 'Requests from this origin are not allowed.', {
    reason: 'origin',
    recorded: true,
  }),
  anonymous: refuse('auth.required', 'A credential is needed.', { reason: 'anonymous', headers: BEARER }),
  ambiguousCredential: refuse('request.header_invalid', 'Give one credential, once.', {
    reason: 'ambiguous_credential',
    recorded: true,
  }),
  badCredential: refuse('auth.required', 'The credential is not valid.', {
    reason: 'bad_credential',
    recorded: true,
    headers: INVALID_TOKEN,
  }),
  sessionEnded: refuse('auth.session_ended', 'The session has ended.', {
    reason: 'session_ended',
    recorded: true,
    headers: INVALID_TOKEN,
  }),
  keyUnknown: refuse('auth.required', 'The API key is not valid.', {
    reason: 'key_unknown',
    recorded: true,
    headers: INVALID_TOKEN,
  }),
  keyScope: refuse('access.denied', 'API keys do not reach this.', { reason: 'key_scope', recorded: true }),
  keyRule: refuse('access.denied', 'The rules of the API key do not allow this.', {
    reason: 'key_rule',
    recorded: true,
  }),
  keyAddress: refuse('access.denied', 'The API key may not be used from this address.', {
    reason: 'key_address',
    recorded: true,
  }),
  secondFactor: refuse('auth.second_factor_required', 'Sign in with a second factor, or set one up first.', {
    reason: 'second_factor',
    recorded: true,
    headers: ['www-authenticate', SECOND_FACTOR_PROOF.challenge],
    extensions: SECOND_FACTOR_PROOF.extensions,
  }),
  orgDisagrees: refuse('request.header_invalid', 'The path and x-org-id name different organizations.'),
  orgMalformed: refuse('request.header_invalid', 'x-org-id must be a UUID.'),
  orgMissing: refuse('request.header_invalid', 'Name the organization by x-org-id.', { reason: 'org_missing' }),
  orgUnknown: refuse('not_found', 'There is no such organization.', { reason: 'org_unknown', recorded: true }),
  orgSuspended: refuse('access.denied', 'The organization is suspended.', { reason: 'org_suspended', recorded: true }),
  unavailable: refuse('dependency_unavailable', 'Who is asking cannot be checked right now.', {
    reason: 'unavailable',
    headers: ['retry-after', '1'],
  }),
  upstreamTimeout: refuse('upstream.timeout', 'The upstream did not answer in time.'),
  upstreamUnavailable: refuse('upstream.unavailable', 'The upstream did not answer.'),
  internal: refuse('internal', 'Something went wrong.'),
} as const satisfies Record<string, Refusal>;

// Whoever is refused in a crowd must not come back as one.
const OVERLOADED = [1, 2, 3, 4, 5].map((seconds) =>
  refuse('overloaded', 'Too many requests are waiting.', { headers: ['retry-after', String(seconds)] }),
);

/** Too much at once; come again in one to five seconds, each at another moment. */
export function overloaded(): Refusal {
  return OVERLOADED[Math.floor(Math.random() * OVERLOADED.length)] as Refusal;
}

/** The organization lets nobody in whose sign-in is older than so many seconds. */
export function sessionTooOld(maxSeconds: number): Refusal {
  const { extensions, challenge } = freshProof(maxSeconds);
  return refuse('org.session_too_old', `The organization asks for a sign-in within the last ${maxSeconds} seconds.`, {
    reason: 'session_too_old',
    recorded: true,
    headers: ['www-authenticate', challenge],
    extensions,
  });
}

/** The organization has asked as often as its plan allows in a day. */
export function planUsedUp(requestsPerDay: number, retryAfterSeconds: number): Refusal {
  return rateLimited(
    retryAfterSeconds,
    `The plan of the organization allows ${requestsPerDay} requests a day. Try again in ${retryAfterSeconds} seconds.`,
  );
}

export function rateLimited(retryAfterSeconds: number, detail = `Try again in ${retryAfterSeconds} seconds.`): Refusal {
  return refuse('rate_limited', detail, {
    reason: 'rate_limited',
    recorded: true,
    headers: ['retry-after', String(retryAfterSeconds)],
  });
}

export function circuitOpen(retryAfterSeconds: number): Refusal {
  return refuse('upstream.circuit_open', 'The upstream is failing and is left alone for a moment.', {
    headers: ['retry-after', String(retryAfterSeconds)],
  });
}
