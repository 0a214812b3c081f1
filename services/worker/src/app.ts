import type { Pool } from '@gatehouse/kit/db';
import type { Endpoint } from '@gatehouse/kit/endpoint';
import type { IdentityVerifier } from '@gatehouse/kit/identity';
import type { Logger } from '@gatehouse/kit/log';
import type { Metrics } from '@gatehouse/kit/metrics';
import type { Queue } from '@gatehouse/kit/queue';
import { serviceApp } from '@gatehouse/kit/service-app';
import { mountBoard } from './board/routes.ts';

/** What the HTTP side works with; made once in main. */
export interface Deps {
  pool: Pool;
  log: Logger;
  metrics: Metrics;
  verifier: IdentityVerifier;
  queues: ReadonlyMap<string, Queue>;
  publicUrl: string;
}

/** Every endpoint of the service: none yet, its pages are the queue board's. */
export function endpoints(): Endpoint[] {
  return [];
}

/** The HTTP application; it never listens. */
export function createApp({ queues, publicUrl, ...deps }: Deps) {
  return serviceApp({
    ...deps,
    endpoints: endpoints(),
    extend: (app) => mountBoard(app, { ...deps, queues: [...queues.values()], publicUrl }),
  });
}
