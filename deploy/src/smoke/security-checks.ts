import { randomUUID, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '../context.ts';
import { type Http, openHttp } from '../http.ts';
import { type Session, sent, signIn, Unexpected, unexpected, wanted } from './session.ts';
import { newViewer } from './smoke.ts';
import { readTenant, type Tenant } from './tenant.ts';

export interface CheckResult {
  name: string;
  ok: boolean;
  detail: string;
}

export interface PublicTarget {
  /** nginx on this host; what the settings publish when it is left out. */
  url?: string;
  /** The name that clients use; the first of SERVER_NAME when it is left out. */
  host?: string;
  /** SHA-256 of the certificate that clients must see; that of `places.tls` when it is left out. */
  fingerprint?: string;
}

interface Checks {
  http: Http;
  tenant: Tenant;
  mode: string;
  secondFactor: boolean;
  owner?: Session;
  /** Made by these checks. */
  viewer?: { id: string; email: string; password: string };
  sessions: Session[];
}

/**
 * The five checks after a deploy, as any client would meet them: through nginx, over TLS, with the certificate that is
 * installed here. Two sign-ins, which the limit of nginx has room for.
 */
export async function securityChecks(
  context: Pick<Context, 'settings' | 'places'>,
  target: PublicTarget = {},
): Promise<CheckResult[]> {
  const { settings } = context;
  const http = openHttp(publicListener(context, target));
  const checks: Checks = {
    http,
    tenant: readTenant(context),
    mode: settings['REGISTRATION_MODE'] ?? '',
    secondFactor: settings['SECOND_FACTOR_REQUIRED_FOR'] === 'everyone',
    sessions: [],
  };
  const results: CheckResult[] = [];
  try {
    for (const [name, check] of CHECKS) results.push(await judged(name, () => check(checks)));
  } finally {
    await cleanUp(checks);
    http.close();
  }
  return results;
}

const CHECKS: readonly (readonly [name: string, check: (checks: Checks) => Promise<string>])[] = [
  ['registration without a session is refused', anonymousRegistration],
  ['a login works', login],
  ['an owner makes a viewer', makeViewer],
  ['a viewer is refused what only owners and admins may', viewerRefused],
  ['an unknown organization is not found', unknownOrganization],
];

async function judged(name: string, check: () => Promise<string>): Promise<CheckResult> {
  try {
    return { name, ok: true, detail: await check() };
  } catch (error) {
    if (!(error instanceof Unexpected)) throw error;
    return { name, ok: false, detail: error.message };
  }
}

/** How to reach nginx from this host, and the certificate to accept. */
function publicListener({ settings, places }: Pick<Context, 'settings' | 'places'>, target: PublicTarget) {
  const published = settings['PUBLISH_ADDRESS'] ?? '';
  const address = ['', '0.0.0.0', '::', '[::]'].includes(published) ? '127.0.0.1' : published;
  const url = target.url ?? `https://${address}:${settings['PUBLISH_HTTPS_PORT']}`;
  const host = target.host ?? settings['SERVER_NAME']?.split(/[\s,]+/).find(Boolean);
  const fingerprint = target.fingerprint ?? fingerprintOf(join(places.tls, 'fullchain.pem'));
  return { url, host, fingerprint };
}

/** The SHA-256 of the first certificate of a file: the one that is served. */
export function fingerprintOf(file: string): string {
  return new X509Certificate(readFileSync(file)).fingerprint256;
}

/** Each mode has its own contract for who comes without a session. */
async function anonymousRegistration({ http, tenant, mode }: Checks): Promise<string> {
  const { org_id, ...person } = newViewer(tenant.orgId);
  const call = { method: 'POST', path: '/api/auth/register' };
  if (mode === 'admin') {
    await wanted(http, 401, { ...call, body: { ...person, org_id } });
    return '401';
  }
  if (mode === 'open') {
    const { body } = await wanted<{ status?: string }>(http, 202, { ...call, body: person });
    if (body.status !== 'mail_sent') throw new Unexpected('POST /api/auth/register answered 202 with something else');
    return 'REGISTRATION_MODE is open: 202, and a mail must be answered first';
  }
  const { name, password } = person;
  const answer = await sent<{ code?: string }>(http, { ...call, body: { name, password } });
  if (answer.body.code !== 'registration.invitation_required')
    throw unexpected(call, answer, 'registration.invitation_required');
  return `REGISTRATION_MODE is invite: ${answer.status}, an invitation is asked for`;
}

async function login(checks: Checks): Promise<string> {
  checks.owner = await signIn(checks.http, checks.tenant.owner);
  checks.sessions.push(checks.owner);
  await wanted(checks.http, 200, { method: 'GET', path: '/api/auth/me', token: checks.owner.accessToken });
  return '200';
}

async function makeViewer(checks: Checks): Promise<string> {
  const { http, tenant, mode } = checks;
  const token = ownerToken(checks);
  if (mode !== 'admin') return standingViewer(checks);
  const person = newViewer(tenant.orgId);
  const call = { method: 'POST', path: '/api/auth/register', body: person, token };
  const { body } = await wanted<{ user: { id: string; role: string } }>(http, 201, call);
  const { id, role } = body.user;
  checks.viewer = { id, email: person.email, password: person.password };
  if (role !== 'viewer') throw new Unexpected(`POST /api/auth/register made a ${role} in place of a viewer`);
  return '201';
}

/** Where people come by invitation or by themselves no owner makes accounts: the tenant's own viewer has to be there. */
async function standingViewer({ http, tenant, mode, owner }: Checks): Promise<string> {
  const call = { method: 'GET', path: `/api/org/${tenant.orgId}/members`, token: owner?.accessToken };
  const { body } = await wanted<{ data: { user_id: string; role: string }[] }>(http, 200, call);
  const found = body.data.find(({ user_id }) => user_id === tenant.viewer.id);
  if (found?.role !== 'viewer') throw new Unexpected('the viewer of the synthetic tenant is not there');
  return `REGISTRATION_MODE is ${mode}: skipped because no owner makes accounts there; the tenant's own viewer is there`;
}

async function viewerRefused(checks: Checks): Promise<string> {
  const { http, tenant, viewer, secondFactor } = checks;
  // Who was made a moment ago has no second factor yet, and would have to set one up first.
  const session = await signIn(http, viewer && !secondFactor ? viewer : tenant.viewer);
  checks.sessions.push(session);
  const token = session.accessToken;
  await wanted(http, 200, { method: 'GET', path: `/api/org/${tenant.orgId}`, token });
  await wanted(http, 403, { method: 'GET', path: `/api/org/${tenant.orgId}/invitations`, token });
  return '403';
}

async function unknownOrganization(checks: Checks): Promise<string> {
  await wanted(checks.http, 404, { method: 'GET', path: `/api/org/${randomUUID()}`, token: ownerToken(checks) });
  return '404';
}

function ownerToken({ owner }: Checks): string {
  if (!owner) throw new Unexpected('could not be asked: nobody is signed in');
  return owner.accessToken;
}

async function cleanUp({ http, tenant, owner, viewer, sessions }: Checks): Promise<void> {
  // Each is tried, whatever became of the others: a session that is left is an owner's.
  const attempt = (method: string, path: string, token: string) =>
    http.send({ method, path, token }).catch(() => undefined);
  if (viewer && owner) await attempt('DELETE', `/api/org/${tenant.orgId}/members/${viewer.id}`, owner.accessToken);
  for (const { accessToken } of sessions) await attempt('POST', '/api/auth/logout', accessToken);
}
