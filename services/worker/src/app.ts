import type { RequestListener } from 'node:http';
import type { Pool } from '@gatehouse/kit/db';
import { createDispatch } from '@gatehouse/kit/dispatch';
import type { Endpoint } from '@gatehouse/kit/endpoint';
import type { IdentityVerifier } from '@gatehouse/kit/identity';
import type { Logger } from '@gatehouse/kit/log';
import type { Metrics } from '@gatehouse/kit/metrics';
import type { Queue } from '@gatehouse/kit/queue';
import { BOARD_PATH } from './board/path.ts';

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
export function createApp({ queues, publicUrl, ...deps }: Deps): RequestListener {
  const dispatch = createDispatch({ ...deps, endpoints: endpoints() });
  // Loaded when somebody looks: with Express it is 25 MiB that an idle worker does without.
  let board: Promise<RequestListener> | undefined;
  return async (req, res) => {
    if (!isBoard(req.url ?? '')) return dispatch(req, res);
    board ??= import('./board/routes.ts').then(({ createBoard }) =>
      createBoard({ ...deps, queues: [...queues.values()], publicUrl }),
    );
    (await board)(req, res);
  };
}

function isBoard(url: string): boolean {
  return url.startsWith(BOARD_PATH) && ['/', '?', undefined].includes(url[BOARD_PATH.length]);
}
