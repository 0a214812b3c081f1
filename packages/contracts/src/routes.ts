export type ServiceName = 'auth' | 'org' | 'audit' | 'worker';

interface ServiceRoute {
  /** A path pattern; `:name` matches one segment, a trailing `*` matches the rest. The first match counts. */
  path: string;
  service: ServiceName;
}

/** Which service answers which path. What is not in here does not exist for the gateway. */
export const SERVICE_ROUTES: readonly ServiceRoute[] = [
  { path: '/api/bootstrap', service: 'auth' },
  { path: '/api/auth/login-history', service: 'audit' },
  { path: '/api/auth/*', service: 'auth' },
  { path: '/api/admin/users', service: 'auth' },
  { path: '/api/admin/users/*', service: 'auth' },
  { path: '/api/admin/lockouts', service: 'auth' },
  { path: '/api/admin/bootstrap', service: 'auth' },
  { path: '/api/org/:org_id/audit', service: 'audit' },
  { path: '/api/admin/audit', service: 'audit' },
  { path: '/api/org/:org_id', service: 'org' },
  { path: '/api/org/:org_id/*', service: 'org' },
  { path: '/api/orgs', service: 'org' },
  { path: '/api/invitations', service: 'org' },
  { path: '/api/invitations/*', service: 'org' },
  { path: '/api/secret-scanning/reports', service: 'org' },
  { path: '/api/permissions', service: 'org' },
  { path: '/api/platform/organizations', service: 'org' },
  { path: '/api/platform/organizations/:org_id', service: 'org' },
  { path: '/admin/queues', service: 'worker' },
  { path: '/admin/queues/*', service: 'worker' },
];

/** The only requests that need no credential: method and path, exact. */
export const PUBLIC_ROUTES: readonly string[] = [
  'POST /api/bootstrap',
  'POST /api/auth/register',
  'POST /api/auth/login',
  'POST /api/auth/refresh',
  'POST /api/auth/logout',
  'POST /api/auth/register/invited',
  'POST /api/auth/challenge/code',
  'POST /api/auth/challenge/enrol',
  'POST /api/auth/challenge/verify',
  'POST /api/auth/email/verify',
  'POST /api/auth/email/resend',
  'POST /api/auth/email/change/confirm',
  'POST /api/auth/password/forgot',
  'POST /api/auth/password/reset',
  'POST /api/auth/sessions/not-me',
  'POST /api/auth/unlock',
  'POST /api/auth/restore',
  'POST /api/invitations/preview',
  'POST /api/secret-scanning/reports',
  'GET /api/permissions',
];
