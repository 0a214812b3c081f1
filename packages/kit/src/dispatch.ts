import type { IncomingMessage, ServerResponse } from 'node:http';
import { IDENTITY_HEADER, type Identity } from '@gatehouse/contracts/identity';
import findMyWay, { type HTTPMethod } from 'find-my-way';
import type { z } from 'zod';
import { logAccess } from './access-log.ts';
import { type Actor, actorOf } from './actor.ts';
import { answer, sendProblem } from './answers.ts';
import { authorize } from './authorize.ts';
import { readJson } from './body.ts';
import { type RequestContext, requestContext } from './context.ts';
import type { Db } from './db.ts';
import { httpMetrics, methodLabel } from './durations.ts';
import { type Endpoint, METHODS } from './endpoint.ts';
import { AppError, asAppError } from './errors.ts';
import { idempotently, Replay } from './idempotency.ts';
import type { IdentityVerifier } from './identity.ts';
import { newId } from './ids.ts';
import { errorFields, type Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import { publish } from './outbox.ts';
import { captureError } from './sentry.ts';

export interface DispatchOptions {
  endpoints: readonly Endpoint[];
  pool: Db;
  log: Logger;
  metrics: Metrics;
  verifier: IdentityVerifier;
}

interface Exchange {
  req: IncomingMessage;
  res: ServerResponse;
  /** Path and query apart, as they came. */
  path: string;
  search: string;
  route: string;
  context: RequestContext;
  identity?: Identity;
  actor?: Actor;
  endpoint?: Endpoint;
  start: number;
  /** Whether the caller may do this at all; what stops it later is no refused decision, unless it is a 403. */
  authorized: boolean;
}

type Dispatch = (req: IncomingMessage, res: ServerResponse) => Promise<void>;

const TRACE_PARENT = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/;
const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;
// One spelling of a path: no escapes, no empty or trailing segment, so that guard and router cannot read it differently.
const CANONICAL_PATH = /^(\/[\w.~-]+)+$/;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const UNMATCHED = '__unmatched__';
const NO_BODY = { value: undefined, bytes: Buffer.alloc(0) };

/**
 * Serves declared endpoints: identity, permission, validation, handler, answer, in this order; then the metrics and the
 * log line of the request. Every request, also to an unknown path, needs a valid identity from the gateway.
 */
export function createDispatch({ endpoints, pool, log, metrics, verifier }: DispatchOptions): Dispatch {
  const router = findMyWay({ caseSensitive: true, maxParamLength: 256 });
  for (const endpoint of endpoints)
    router.on(endpoint.method.toUpperCase() as HTTPMethod, endpoint.path, () => undefined, endpoint);

  const served = httpMetrics(metrics);

  async function serve(exchange: Exchange): Promise<void> {
    const { req, path } = exchange;
    const identity = verifier(singleHeader(req, IDENTITY_HEADER));
    exchange.identity = identity;
    const claimed = actorOf(identity, req, exchange.context.request_id, exchange.context.trace_id);
    exchange.actor = claimed;

    const match = CANONICAL_PATH.test(path) ? router.find(req.method as HTTPMethod, path) : null;
    if (!match) throw unknownRoute(path);
    const endpoint = match.store as Endpoint;
    exchange.endpoint = endpoint;
    exchange.route = endpoint.path;
    const pathParams = canonicalParams(match.params);
    authorize(endpoint, identity, pathParams);
    exchange.authorized = true;
    const actor = endpoint.orgPermission ? claimed : withoutOrg(claimed);
    exchange.actor = actor;
    await endpoint.before?.(actor);

    const params = validate(endpoint.params, pathParams, '/path');
    const query = validate(endpoint.query, parseQuery(exchange.search), '/query');
    const { value, bytes: rawBody } = endpoint.body ? await readJson(req, endpoint.bodyLimit) : NO_BODY;
    const body = endpoint.body ? validate(endpoint.body, value, '') : undefined;
    const handle = async () =>
      endpoint.handle({ actor, org: actor.org, params, query, body, rawBody, headers: req.headers } as never);

    const key = req.headers['idempotency-key'];
    const result =
      endpoint.idempotent && key !== undefined
        ? await idempotently({ endpoint, actor, path, body, key: String(key) }, handle)
        : await handle();
    answer(exchange, endpoint, result);
  }

  function unknownRoute(path: string): AppError {
    const allowed = METHODS.filter(
      (method) => CANONICAL_PATH.test(path) && router.find(method.toUpperCase() as HTTPMethod, path),
    );
    if (allowed.length === 0) return new AppError('not_found');
    return new AppError('method_not_allowed', undefined, { headers: { allow: allowed.join(', ').toUpperCase() } });
  }

  async function refuse(exchange: Exchange, thrown: unknown): Promise<void> {
    if (thrown instanceof Replay && exchange.endpoint)
      return answer(exchange, exchange.endpoint, thrown.answer, { 'idempotency-replayed': 'true' });
    const known = asAppError(thrown);
    if (!known) {
      log.error('request failed', errorFields(thrown));
      captureError(thrown, exchange.route);
    }
    const error = known ?? new AppError('internal', 'Something went wrong; quote the request id when you report it.');
    const hidden = error.status === 404 && exchange.endpoint !== undefined && !exchange.authorized;
    if (error.status === 403 || hidden) await recordDenial(exchange, error);
    sendProblem(exchange, error);
  }

  async function recordDenial({ actor, req, route, endpoint }: Exchange, { status, code }: AppError): Promise<void> {
    if (!actor) return;
    const permission = endpoint?.permission;
    const data = { method: req.method ?? '', route, status, code, ...(permission ? { permission } : {}) };
    await publish(pool, actor, 'access.denied.v1', data, { outcome: 'denied' }).catch((error) =>
      log.error('a refused decision could not be recorded', errorFields(error)),
    );
  }

  return (req, res) => {
    const exchange = open(req, res);
    served.started();
    return requestContext.run(exchange.context, async () => {
      try {
        await serve(exchange);
      } catch (error) {
        await refuse(exchange, error);
      } finally {
        const method = methodLabel(req.method ?? '');
        const { route, start, actor } = exchange;
        const durationMs = performance.now() - start;
        served.finished(method, route, res.statusCode, durationMs / 1000);
        logAccess(log, { method, route, status: res.statusCode, durationMs, address: actor?.address ?? '' });
      }
    });
  };
}

function open(req: IncomingMessage, res: ServerResponse): Exchange {
  const url = req.url ?? '/';
  const mark = url.indexOf('?');
  const given = req.headers['x-request-id'];
  const request_id = typeof given === 'string' && REQUEST_ID.test(given) ? given : newId().replaceAll('-', '');
  const trace_id = TRACE_PARENT.exec(String(req.headers.traceparent ?? ''))?.[1] ?? request_id;
  return {
    req,
    res,
    path: mark < 0 ? url : url.slice(0, mark),
    search: mark < 0 ? '' : url.slice(mark + 1),
    route: UNMATCHED,
    context: { request_id, trace_id },
    start: performance.now(),
    authorized: false,
  };
}

/**
 * An organization counts only where a permission in it was asked for. Elsewhere it is whatever the caller named, and
 * what happens there (a failed sign-in to somebody's account) is not for the log that this organization reads.
 */
function withoutOrg({ org: _, ...actor }: Actor): Actor {
  return actor;
}

/** An id has one spelling: compared with another, or in the name of a cached fact, a second one would be another id. */
function canonicalParams(params: Record<string, string | undefined>): Record<string, string> {
  const canonical: Record<string, string> = {};
  for (const [name, value = ''] of Object.entries(params))
    canonical[name] = UUID.test(value) ? value.toLowerCase() : value;
  return canonical;
}

function singleHeader(req: IncomingMessage, name: string): string | undefined {
  const value = req.headers[name];
  return typeof value === 'string' ? value : undefined;
}

/** Names and values of a query string; a name given twice is refused, so that a scalar never becomes a list. */
function parseQuery(search: string): Record<string, string> {
  const query: Record<string, string> = Object.create(null);
  if (search === '') return query;
  for (const [name, value] of new URLSearchParams(search)) {
    if (name in query)
      throw new AppError('request.invalid', undefined, {
        details: [{ pointer: `/query/${name}`, message: 'is given more than once' }],
      });
    query[name] = value;
  }
  return query;
}

const NOTHING = Object.freeze({});

function validate(schema: z.ZodType | undefined, value: unknown, prefix: string): unknown {
  if (!schema) {
    const [name] = Object.keys(value as object);
    if (name === undefined) return NOTHING;
    throw new AppError('request.invalid', undefined, {
      details: [{ pointer: `${prefix}/${name}`, message: 'is not known here' }],
    });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const details = parsed.error.issues.slice(0, 20).flatMap((issue) => {
    const pointer = `${prefix}/${issue.path.map(String).join('/')}`;
    if (issue.code !== 'unrecognized_keys') return [{ pointer, message: issue.message }];
    return issue.keys.slice(0, 20).map((key) => ({
      pointer: `${pointer.replace(/\/$/, '')}/${key.slice(0, 64)}`,
      message: 'is not known here',
    }));
  });
  throw new AppError('request.invalid', 'The request has mistakes.', { details });
}
