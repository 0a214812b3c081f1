import { createDispatch } from '@gatehouse/kit/dispatch';
import type { Endpoint } from '@gatehouse/kit/endpoint';
import type { IdentityVerifier } from '@gatehouse/kit/identity';
import type { Metrics } from '@gatehouse/kit/metrics';
import { apiKeyRoutes } from './api-keys/routes.ts';
import type { Deps } from './deps.ts';
import { guardRoutes } from './guard/routes.ts';
import { invitationRoutes } from './invitations/routes.ts';
import { memberRoutes } from './members/routes.ts';
import { organizationRoutes } from './organizations/routes.ts';
import { ownInvitationRoutes } from './own-invitations/routes.ts';
import { permissionRoutes } from './permissions/routes.ts';
import { planRoutes } from './plans/routes.ts';
import { platformRoutes } from './platform/routes.ts';
import { policyRoutes } from './policies/routes.ts';
import { secretScanningRoutes } from './secret-scanning/routes.ts';

/** Every endpoint of the service. */
export function endpoints(deps: Deps): Endpoint[] {
  return [
    ...organizationRoutes(deps),
    ...memberRoutes(deps),
    ...invitationRoutes(deps),
    ...ownInvitationRoutes(deps),
    ...policyRoutes(deps),
    ...planRoutes(deps),
    ...apiKeyRoutes(deps),
    ...secretScanningRoutes(deps),
    ...permissionRoutes(),
    ...platformRoutes(deps),
    ...guardRoutes(deps),
  ];
}

interface AppDeps extends Deps {
  metrics: Metrics;
  verifier: IdentityVerifier;
}

/** The HTTP application; it never listens. */
export function createApp(deps: AppDeps) {
  return createDispatch({ ...deps, endpoints: endpoints(deps) });
}
