import { createDispatch } from '@gatehouse/kit/dispatch';
import type { Endpoint } from '@gatehouse/kit/endpoint';
import type { IdentityVerifier } from '@gatehouse/kit/identity';
import type { Metrics } from '@gatehouse/kit/metrics';
import { accountRoutes } from './accounts/routes.ts';
import { adminRoutes } from './admin/routes.ts';
import { bootstrapRoutes } from './bootstrap/routes.ts';
import { challengeRoutes } from './challenges/routes.ts';
import type { Deps } from './deps.ts';
import { deviceRoutes } from './devices/routes.ts';
import { emailChangeRoutes } from './email-change/routes.ts';
import { factorRoutes } from './factors/routes.ts';
import { internalRoutes } from './internal/routes.ts';
import { keyRoutes } from './keys/routes.ts';
import { loginRoutes } from './login/routes.ts';
import { passwordRoutes } from './passwords/routes.ts';
import { reauthenticationRoutes } from './reauthentication/routes.ts';
import { recoveryRoutes } from './recovery/routes.ts';
import { registrationRoutes } from './registration/routes.ts';
import { sessionRoutes } from './sessions/routes.ts';
import { throttlingRoutes } from './throttling/routes.ts';

/** Every endpoint of the service. */
export function endpoints(deps: Deps): Endpoint[] {
  return [
    ...bootstrapRoutes(deps),
    ...registrationRoutes(deps),
    ...loginRoutes(deps),
    ...throttlingRoutes(deps),
    ...adminRoutes(deps),
    ...challengeRoutes(deps),
    ...factorRoutes(deps),
    ...reauthenticationRoutes(deps),
    ...sessionRoutes(deps),
    ...deviceRoutes(deps),
    ...accountRoutes(deps),
    ...passwordRoutes(deps),
    ...recoveryRoutes(deps),
    ...emailChangeRoutes(deps),
    ...keyRoutes(deps),
    ...internalRoutes(deps),
  ];
}

interface AppOptions {
  deps: Deps;
  metrics: Metrics;
  verifier: IdentityVerifier;
}

/** The HTTP application; it never listens. */
export function createApp({ deps, metrics, verifier }: AppOptions) {
  const { pool, log } = deps;
  return createDispatch({ pool, log, metrics, verifier, endpoints: endpoints(deps) });
}
