import { ERRORS, type ErrorCode } from '@gatehouse/contracts/errors';

interface EdgeError {
  code: ErrorCode;
  detail: string;
  /** Statuses inside nginx that end in this answer. */
  from: readonly number[];
  /** The last part of its internal path, where its status does not tell it from the others. */
  place?: string;
  /** Lines of configuration for headers that this answer needs beside the usual ones. */
  headers?: readonly string[];
}

const LIMIT_HEADERS = [
  'add_header Retry-After $limit_retry always;',
  'add_header RateLimit-Policy $limit_policy always;',
  'add_header RateLimit $limit_state always;',
  'add_header X-RateLimit-Limit $limit_quota always;',
  'add_header X-RateLimit-Remaining 0 always;',
  'add_header X-RateLimit-Reset $limit_retry always;',
];

const EDGE_ERRORS: readonly EdgeError[] = [
  // 497: plain HTTP on the TLS port; 501: an unknown Transfer-Encoding; 505: an unknown version of HTTP.
  { code: 'request.malformed', from: [400, 497, 501, 505], detail: 'The edge refuses a request of this form.' },
  { code: 'access.denied', from: [403], detail: 'This is not for you.' },
  { code: 'not_found', from: [404], detail: 'There is nothing under this path.' },
  {
    code: 'method_not_allowed',
    from: [405],
    detail: 'The method is not supported.',
    headers: ['add_header Allow "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" always;'],
  },
  { code: 'request.timeout', from: [408], detail: 'The request did not arrive in time.' },
  { code: 'request.too_large', from: [413], detail: 'The body is larger than allowed here.' },
  { code: 'request.uri_too_long', from: [414], detail: 'The address is longer than 8 KB.' },
  { code: 'request.misdirected', from: [421], detail: 'No host of this name is served here.' },
  {
    code: 'rate_limited',
    from: [429],
    detail: 'Too many requests from this address; try again after Retry-After seconds.',
    headers: LIMIT_HEADERS,
  },
  // 494: one header, or all of them, beyond the buffers.
  { code: 'request.header_too_large', from: [494], detail: 'The headers are larger than allowed.' },
  { code: 'internal', from: [500], detail: 'Something went wrong at the edge.' },
  { code: 'upstream.unavailable', from: [502], detail: 'The gateway did not answer.' },
  {
    code: 'dependency_unavailable',
    from: [503],
    detail: 'The gateway cannot take the request now.',
    headers: ['add_header Retry-After 2 always;'],
  },
  {
    code: 'maintenance',
    from: [597],
    place: 'maintenance',
    detail: 'The platform is closed for maintenance.',
    headers: ['add_header Retry-After 60 always;'],
  },
  { code: 'upstream.timeout', from: [504], detail: 'The gateway did not answer in time.' },
];

/**
 * The answers that nginx makes by itself, as problem documents (RFC 9457). They live under internal paths and not in
 * named locations: nginx cannot enter one of those for a request line that it could not read.
 */
export function renderErrors(): string {
  return EDGE_ERRORS.map(({ code, detail, from, place, headers = [] }) => {
    const { status, title } = ERRORS[code];
    const path = `/.error/${place ?? status}`;
    const body = JSON.stringify({
      type: `urn:gatehouse:problem:${code}`,
      title,
      status,
      detail,
      code,
      request_id: '$request_id',
    });
    if (/['$\\]/.test(`${title}${detail}`)) throw new Error(`nginx would read the text of ${code} as configuration`);
    return [
      `error_page ${from.join(' ')} =${status} ${path};`,
      `location = ${path} {`,
      '  internal;',
      '  default_type application/problem+json;',
      '  include headers.conf;',
      '  add_header Cache-Control no-store always;',
      '  add_header Connection $closing always;',
      ...headers.map((line) => `  ${line}`),
      `  return ${status} '${body}';`,
      '}',
    ].join('\n');
  }).join('\n');
}
