/** What the gateway itself reads; never forwarded as it came. */
type Field =
  | 'authorization'
  | 'x-api-key'
  | 'x-org-id'
  | 'x-forwarded-for'
  | 'x-request-id'
  | 'traceparent'
  | 'transfer-encoding'
  | 'content-length'
  | 'connection'
  | 'cookie'
  | 'origin'
  | 'sec-fetch-site'
  | 'access-control-request-method'
  | 'user-agent'
  | 'host';

// Headers that the gateway reads and that also go on to the upstream as they are.
const READ_AND_FORWARDED = new Set<string>(['content-length', 'origin', 'sec-fetch-site', 'user-agent']);
const READ = new Set<string>([
  'authorization',
  'x-api-key',
  'x-org-id',
  'x-forwarded-for',
  'x-request-id',
  'traceparent',
  'transfer-encoding',
  'connection',
  'cookie',
  'access-control-request-method',
  'host',
]);

// Hop by hop (RFC 9110, section 7.6.1), credentials, and every name under which some framework takes an identity,
// an address, a method or a path from its proxy.
const DROPPED = new Set([
  'baggage',
  'client-ip',
  'expect',
  'fastly-client-ip',
  'forwarded',
  'front-end-https',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'proxy',
  'remote-user',
  'te',
  'tracestate',
  'trailer',
  'trailers',
  'true-client-ip',
  'upgrade',
  'via',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-host',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-middleware-subrequest',
  'x-original-host',
  'x-original-url',
  'x-real-ip',
  'x-rewrite-url',
  'x-service-token',
]);
const DROPPED_PREFIX =
  /^(?:gatehouse-|x-gatehouse-|x-user-|x-org-|x-platform-|x-internal-|x-forwarded-|x-auth-|x-authenticated-|x-remote-|x-envoy-|cf-)/;
const NAME = /^[a-z0-9-]+$/;

interface Kind {
  field: Field | undefined;
  forward: boolean;
  /** The name in lower case. */
  name: string;
}

const KINDS_MAX = 2_000;
const kinds = new Map<string, Kind>();

function kindOf(name: string): Kind {
  const known = kinds.get(name);
  if (known) return known;
  const lower = name.toLowerCase();
  const both = READ_AND_FORWARDED.has(lower);
  const read = both || READ.has(lower);
  const kind: Kind = {
    field: read ? (lower as Field) : undefined,
    forward: both || (!read && NAME.test(lower) && !DROPPED.has(lower) && !DROPPED_PREFIX.test(lower)),
    name: lower,
  };
  // The names come from clients: the memory for them is bounded.
  if (kinds.size >= KINDS_MAX) kinds.clear();
  kinds.set(name, kind);
  return kind;
}

/** The headers of a request after one pass: what the gateway reads, and what may go on, as a flat list. */
export class RequestHead {
  forward: string[] = [];
  /** A header that the gateway decides by came twice: there would be two readings of the request. The gravest one. */
  repeated: Field | undefined;
  authorization: string | undefined;
  apiKey: string | undefined;
  orgId: string | undefined;
  forwardedFor: string | undefined;
  requestId: string | undefined;
  traceparent: string | undefined;
  transferEncoding: string | undefined;
  contentLength: string | undefined;
  connection: string | undefined;
  cookie: string | undefined;
  origin: string | undefined;
  fetchSite: string | undefined;
  requestedMethod: string | undefined;
  agent: string | undefined;
  host: string | undefined;
}

const PROPERTY = {
  authorization: 'authorization',
  'x-api-key': 'apiKey',
  'x-org-id': 'orgId',
  'x-forwarded-for': 'forwardedFor',
  'x-request-id': 'requestId',
  traceparent: 'traceparent',
  'transfer-encoding': 'transferEncoding',
  'content-length': 'contentLength',
  connection: 'connection',
  cookie: 'cookie',
  origin: 'origin',
  'sec-fetch-site': 'fetchSite',
  'access-control-request-method': 'requestedMethod',
  'user-agent': 'agent',
  host: 'host',
} as const satisfies Record<Field, keyof RequestHead>;

const LIGHT = new Set<Field>(['user-agent', 'sec-fetch-site', 'x-request-id', 'traceparent']);

/** How much it matters that a header came twice: one that does not must not hide one that does. */
function weight(field: Field | undefined): number {
  if (field === undefined) return 0;
  if (LIGHT.has(field)) return 1;
  return field === 'x-forwarded-for' ? 2 : 3;
}

/** Reads Node's flat `rawHeaders`. Trailers are never read, so none is forwarded. */
export function readHead(rawHeaders: readonly string[]): RequestHead {
  const head = new RequestHead();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const value = rawHeaders[i + 1] as string;
    const { field, forward } = kindOf(name);
    if (field !== undefined) {
      const property = PROPERTY[field];
      if (head[property] === undefined) head[property] = value;
      else if (field === 'connection') head.connection = `${head.connection},${value}`;
      // HTTP/2 lets a client split it (RFC 9113, section 8.2.3).
      else if (field === 'cookie') head.cookie = `${head.cookie}; ${value}`;
      else if (weight(field) > weight(head.repeated)) head.repeated = field;
    }
    if (forward) head.forward.push(name, value);
  }
  if (head.connection !== undefined) dropConnectionListed(head, head.connection);
  return head;
}

const ORDINARY_CONNECTION = /^(?:keep-alive|close|upgrade)$/i;

/** Drops what the client declared hop by hop. Ours are added afterwards, so that none of them can be listed away. */
function dropConnectionListed(head: RequestHead, connection: string): void {
  if (ORDINARY_CONNECTION.test(connection)) return;
  const listed = new Set(connection.split(',').map((option) => option.trim().toLowerCase()));
  // Framing is not the client's to hide: without it the body's end would be read differently upstream.
  listed.delete('content-length');
  const kept: string[] = [];
  for (let i = 0; i < head.forward.length; i += 2) {
    const name = head.forward[i] as string;
    if (!listed.has(name.toLowerCase())) kept.push(name, head.forward[i + 1] as string);
  }
  head.forward = kept;
}
