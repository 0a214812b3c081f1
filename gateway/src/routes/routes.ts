import { PUBLIC_ROUTES, SERVICE_ROUTES, type ServiceName } from '@gatehouse/contracts/routes';

export type RouteKind = 'service' | 'proxy' | 'standalone';

/** Where a request goes. */
export interface Route {
  kind: RouteKind;
  /** What metrics and logs call it: the declared pattern, never the path. */
  template: string;
  /** The service's name, or that of the upstream; for an upstream not yet known to exist. */
  target: string;
  /** The path as the target sees it. */
  path: string;
  /** The organization that the path names. */
  orgId: string | undefined;
  /** Where a user signs in, proves who they are and sets a factor up: open to whoever still has to. */
  ownAccount: boolean;
}

/** The route label of what no pattern matches. */
export const UNMATCHED = '__unmatched__';
export const PROXY_TEMPLATE = '/api/proxy/:upstream/*';
export const STANDALONE_TEMPLATE = '/api/standalone/:upstream/*';

interface Pattern {
  regexp: RegExp;
  template: string;
  service: ServiceName;
  namesOrg: boolean;
  ownAccount: boolean;
}

const patterns: readonly Pattern[] = SERVICE_ROUTES.map(({ path, service }) => ({
  regexp: new RegExp(
    `^${path
      .replace(/[.]/g, '\\.')
      .replace(/:[a-z_]+/g, '([^/]+)')
      .replace(/\*$/, '.*')}$`,
  ),
  template: path,
  service,
  namesOrg: path.startsWith('/api/org/:org_id'),
  ownAccount: service === 'auth' && path === '/api/auth/*',
}));

const UPSTREAM = /^\/api\/(proxy|standalone)\/([a-z0-9-]+)(\/.*)?$/;

/** The route of a canonical path; undefined when none is declared. */
export function findRoute(path: string): Route | undefined {
  const upstream = path.startsWith('/api/proxy/') || path.startsWith('/api/standalone/') ? UPSTREAM.exec(path) : null;
  if (upstream) {
    const kind = upstream[1] as 'proxy' | 'standalone';
    const template = kind === 'proxy' ? PROXY_TEMPLATE : STANDALONE_TEMPLATE;
    return {
      kind,
      template,
      target: upstream[2] as string,
      path: upstream[3] ?? '/',
      orgId: undefined,
      ownAccount: false,
    };
  }
  // A trailing slash would be a second spelling of a service's path.
  if (path.endsWith('/') && !path.startsWith('/admin/queues/')) return undefined;
  for (const { regexp, template, service, namesOrg, ownAccount } of patterns) {
    const match = regexp.exec(path);
    const orgId = namesOrg ? match?.[1] : undefined;
    if (match) return { kind: 'service', template, target: service, path, orgId, ownAccount };
  }
  return undefined;
}

const publicRoutes = new Set(PUBLIC_ROUTES);

/** Whether the request needs no credential. HEAD reads what GET reads. */
export function isPublic(method: string, path: string): boolean {
  return publicRoutes.has(`${method === 'HEAD' ? 'GET' : method} ${path}`);
}
