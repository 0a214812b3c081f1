import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { type Http, openHttp } from '../http.ts';
import { type Session, sent, sessionOf, signIn, Unexpected, unexpected, wanted } from './session.ts';
import { addressOf, readTenant, type Tenant } from './tenant.ts';
import { countWithheld } from './workers.ts';

export interface SmokeTarget {
  /** Of one gateway, or of nginx: `http://10.80.0.21:4000`. */
  url: string;
  /** The name that clients use. */
  host: string;
}

export interface SmokeResult {
  ms: number;
  steps: { name: string; ms: number }[];
  /** What could not be done here, and why. */
  skipped: string[];
}

const [JOB_MS, SEALED_MS, DEAD_MS, POLL_MS] = [15_000, 15_000, 2_000, 50];

interface Smoke {
  context: Pick<Context, 'compose' | 'settings'>;
  http: Http;
  tenant: Tenant;
  session: Session;
}

/**
 * Goes the whole way of a request and of what follows from it, against one base URL: a session, an organization, an
 * account, a mail's job, the audit log. Throws Failure with the step that failed, and leaves nothing behind.
 */
export async function smoke(
  context: Pick<Context, 'compose' | 'settings' | 'places'>,
  { url, host }: SmokeTarget,
): Promise<SmokeResult> {
  const tenant = readTenant(context);
  const http = openHttp({ url, host, headers: { 'x-forwarded-proto': 'https' } });
  const start = performance.now();
  const result: SmokeResult = { ms: 0, steps: [], skipped: [] };
  const run: Smoke = { context, http, tenant, session: { accessToken: '', refreshToken: '' } };
  const step = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const began = performance.now();
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Unexpected)) throw error;
      throw new Failure(EXIT.unhealthy, `The smoke run failed at "${name}": ${error.message}`, [`through ${url}`]);
    } finally {
      result.steps.push({ name, ms: Math.round(performance.now() - began) });
    }
  };
  const undo: (() => Promise<unknown>)[] = [];
  try {
    await step('sign in', () => enter(run, undo));
    await step('read the own account', () => readAccount(run));
    await step('refresh the session', () => refresh(run));
    await step('read the organization', () => readOrganization(run));
    const before = await step('ask the workers', () => countWithheld(context));
    if (context.settings['REGISTRATION_MODE'] === 'admin') {
      const viewer = await step('register a viewer', () => register(run, undo));
      await step('find the registration in the audit log', () => audited(run, 'auth.user_registered.v1', viewer));
    } else
      result.skipped.push(
        `registering a viewer: REGISTRATION_MODE is ${context.settings['REGISTRATION_MODE']}, where no owner makes accounts`,
      );
    const invitation = await step('invite somebody', () => invite(run, undo));
    await step('have the job of its mail carried out', () => carriedOut(run, before));
    await step('find the invitation in the audit log', () => audited(run, 'org.invitation_created.v1', invitation));
    await step('remove what was made', () => undoAll(undo, 1));
    await step('sign out', () => undoAll(undo, 0));
    await step('find the session dead', () => dead(run));
  } finally {
    await undoAll(undo, 0).catch(() => undefined);
    http.close();
  }
  return { ...result, ms: Math.round(performance.now() - start) };
}

/** Undoes from the last to the first until so many are left; each is tried once. */
async function undoAll(undo: (() => Promise<unknown>)[], left: number): Promise<void> {
  const errors: unknown[] = [];
  while (undo.length > left)
    await undo
      .pop()?.()
      .catch((error: unknown) => errors.push(error));
  if (errors.length > 0) throw errors[0];
}

async function enter(run: Smoke, undo: (() => Promise<unknown>)[]): Promise<void> {
  run.session = await signIn(run.http, run.tenant.owner);
  undo.push(() => asOwner(run, 204, 'POST', '/api/auth/logout'));
}

function asOwner<T>({ http, session }: Smoke, status: number, method: string, path: string, body?: unknown) {
  return wanted<T>(http, status, { method, path, body, token: session.accessToken });
}

async function readAccount(run: Smoke): Promise<void> {
  const { body } = await asOwner<{ id: string }>(run, 200, 'GET', '/api/auth/me');
  if (body.id !== run.tenant.owner.id) throw new Unexpected('GET /api/auth/me answered with somebody else');
}

async function refresh(run: Smoke): Promise<void> {
  const { refreshToken } = run.session;
  const call = { method: 'POST', path: '/api/auth/refresh', body: { refresh_token: refreshToken } };
  run.session = sessionOf(await wanted(run.http, 200, call));
  if (run.session.refreshToken === refreshToken) throw new Unexpected('the refresh token was not replaced');
}

async function readOrganization(run: Smoke): Promise<void> {
  const { orgId, name } = run.tenant;
  const { body } = await asOwner<{ name: string }>(run, 200, 'GET', `/api/org/${orgId}`);
  if (body.name !== name) throw new Unexpected('another organization was answered');
}

async function register(run: Smoke, undo: (() => Promise<unknown>)[]): Promise<string> {
  const { orgId } = run.tenant;
  const made = await asOwner<{ user: { id: string } }>(run, 201, 'POST', '/api/auth/register', newViewer(orgId));
  const { id } = made.body.user;
  undo.push(() => asOwner(run, 204, 'DELETE', `/api/org/${orgId}/members/${id}`));
  return id;
}

/** Somebody new, whose password nobody remembers. */
export function newViewer(orgId: string) {
  const email = addressOf('viewer', randomBytes(8).toString('hex'));
  return { email, name: 'Synthetic viewer', password: randomBytes(24).toString('base64url'), org_id: orgId };
}

async function invite(run: Smoke, undo: (() => Promise<unknown>)[]): Promise<string> {
  const path = `/api/org/${run.tenant.orgId}/invitations`;
  const offer = { email: addressOf('guest', randomBytes(8).toString('hex')), role: 'viewer' };
  const made = await asOwner<{ id: string }>(run, 201, 'POST', path, offer);
  const { id } = made.body;
  undo.push(() => asOwner(run, 204, 'DELETE', `${path}/${id}`));
  return id;
}

async function carriedOut({ context }: Smoke, before: number): Promise<void> {
  const done = await holds(JOB_MS, async () => (await countWithheld(context)) > before);
  if (!done) throw new Unexpected(`the workers have not carried it out within ${JOB_MS / 1000} s`);
}

async function audited(run: Smoke, action: string, target: string): Promise<void> {
  const path = `/api/org/${run.tenant.orgId}/audit?action=${action}&target=${target}`;
  const found = await holds(SEALED_MS, async () => {
    const { body } = await asOwner<{ data: unknown[] }>(run, 200, 'GET', path);
    return body.data.length > 0;
  });
  if (!found) throw new Unexpected(`GET ${path} shows no record within ${SEALED_MS / 1000} s`);
}

async function dead({ http, session }: Smoke): Promise<void> {
  const call = { method: 'GET', path: '/api/auth/me', token: session.accessToken };
  const ended = await holds(DEAD_MS, async () => (await sent(http, call)).status === 401);
  if (!ended) throw unexpected(call, await sent(http, call), `401, ${DEAD_MS / 1000} s after the session ended`);
  const refreshing = { method: 'POST', path: '/api/auth/refresh', body: { refresh_token: session.refreshToken } };
  await wanted(http, 401, refreshing);
}

/** Asks until it holds; false when it did not within the time. */
async function holds(withinMs: number, ask: () => Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    if (await ask()) return true;
    if (performance.now() > deadline) return false;
    await delay(POLL_MS);
  }
}
