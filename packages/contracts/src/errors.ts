/**
 * Every error code of the platform with the HTTP status and title that belong to it (RFC 9457, section 3.1).
 * Clients script against the codes: one is added, never renamed. Keep each block sorted by code.
 */
export const ERRORS = {
  'access.denied': { status: 403, title: 'Access denied' },
  conflict: { status: 409, title: 'Conflict' },
  dependency_unavailable: { status: 503, title: 'A dependency is unavailable' },
  internal: { status: 500, title: 'Internal error' },
  method_not_allowed: { status: 405, title: 'Method not allowed' },
  not_found: { status: 404, title: 'Not found' },
  overloaded: { status: 503, title: 'Overloaded' },
  rate_limited: { status: 429, title: 'Too many requests' },

  'auth.invalid_credentials': { status: 401, title: 'Invalid credentials' },
  'auth.required': { status: 401, title: 'Authentication required' },
  'auth.session_ended': { status: 401, title: 'Session ended' },

  'bootstrap.completed': { status: 403, title: 'Bootstrap already completed' },

  'idempotency.in_progress': { status: 409, title: 'A request with this Idempotency-Key is still running' },
  'idempotency.mismatch': { status: 422, title: 'The Idempotency-Key was used with another request' },

  'request.header_invalid': { status: 400, title: 'Invalid header' },
  'request.invalid': { status: 400, title: 'Invalid request' },
  'request.malformed': { status: 400, title: 'Malformed request' },
  'request.too_large': { status: 413, title: 'Request too large' },
  'request.unsupported_media_type': { status: 415, title: 'Unsupported media type' },

  'upstream.circuit_open': { status: 503, title: 'Upstream is failing' },
  'upstream.timeout': { status: 504, title: 'Upstream timed out' },
  'upstream.unavailable': { status: 502, title: 'Upstream unavailable' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ErrorCode = keyof typeof ERRORS;
