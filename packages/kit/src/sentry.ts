import type { ErrorEvent, NodeOptions } from '@sentry/node';
import { redactDeep } from './redact.ts';

type Sentry = typeof import('@sentry/node');
let sentry: Sentry | undefined;

interface SentryOptions {
  dsn: string;
  service: string;
  release: string;
  environment: string;
  tracesSampleRate: number;
  profilesSampleRate: number;
}

/** The headers of a request that a report may show. */
const HEADERS: readonly string[] = ['user-agent', 'content-type', 'x-request-id'];

/** What Sentry may collect: no bodies, cookies, queries, arguments, locals or users; everything else is redacted again. */
export function sentryOptions(options: SentryOptions): NodeOptions {
  return {
    dsn: options.dsn,
    release: options.release,
    environment: options.environment,
    serverName: options.service,
    sampleRate: 1,
    tracesSampleRate: options.tracesSampleRate,
    shutdownTimeout: 2000,
    strictTraceContinuation: true,
    tracePropagationTargets: [],
    dataCollection: {
      userInfo: false,
      cookies: false,
      httpHeaders: { request: { allow: [...HEADERS] }, response: false },
      httpBodies: [],
      urlQueryParams: false,
      databaseQueryData: false,
      queues: false,
      stackFrameVariables: false,
    },
    beforeSend: scrub,
    beforeSendSpan: (span) => redactDeep(span) as typeof span,
    beforeBreadcrumb: () => null,
  } as NodeOptions;
}

/** Loads Sentry, only when there is a DSN: without one the process holds none of its code. */
export async function startSentry(options: SentryOptions): Promise<void> {
  sentry = await import('@sentry/node');
  sentry.init(sentryOptions(options));
}

const LIMIT_PER_MINUTE = 10;
const sent = new Map<string, { minute: number; count: number }>();

/** Reports a bug (never an expected refusal), at most ten a minute of one kind: an outage must not become a flood. */
export function captureError(error: unknown, where: string): void {
  if (!sentry) return;
  const kind = `${where} ${(error as Error)?.name} ${(error as Error)?.message}`.slice(0, 200);
  const minute = Math.floor(Date.now() / 60_000);
  const seen = sent.get(kind);
  const count = seen?.minute === minute ? seen.count + 1 : 1;
  if (sent.size > 1000) sent.clear();
  sent.set(kind, { minute, count });
  if (count <= LIMIT_PER_MINUTE) sentry.captureException(error, { tags: { where } });
}

/** Sends what is still queued. */
export async function stopSentry(): Promise<void> {
  await sentry?.close(2000);
}

function scrub(event: ErrorEvent): ErrorEvent {
  const { user: _user, request, ...rest } = event;
  const kept = request ? { ...rest, request: { method: request.method, headers: allowed(request.headers) } } : rest;
  return redactDeep(kept) as ErrorEvent;
}

/** Sentry blanks the values of headers that it may not collect and keeps their names, which a client chose too. */
function allowed(headers: Record<string, string> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => HEADERS.includes(name.toLowerCase())));
}
