import type { Pool } from '@gatehouse/kit/db';
import { createDispatch } from '@gatehouse/kit/dispatch';
import type { Endpoint } from '@gatehouse/kit/endpoint';
import type { IdentityVerifier } from '@gatehouse/kit/identity';
import type { Logger } from '@gatehouse/kit/log';
import type { Metrics } from '@gatehouse/kit/metrics';
import { logRoutes } from './log/routes.ts';
import { loginHistoryRoutes } from './login-history/routes.ts';

/** What the features work with; made once in main. */
export interface Deps {
  pool: Pool;
  log: Logger;
  metrics: Metrics;
  verifier: IdentityVerifier;
}

/** Every endpoint of the service. */
export function endpoints(deps: Pick<Deps, 'pool'>): Endpoint[] {
  return [...logRoutes(deps), ...loginHistoryRoutes(deps)];
}

/** The HTTP application; it never listens. */
export function createApp(deps: Deps) {
  return createDispatch({ ...deps, endpoints: endpoints(deps) });
}
