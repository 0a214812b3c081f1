import { ApiKeyFact, GuardFact, guardKey, SessionFact } from '@gatehouse/contracts/facts';
import { IDENTITY_HEADER } from '@gatehouse/contracts/identity';
import type { ServiceName } from '@gatehouse/contracts/routes';
import type { IdentitySigner } from '@gatehouse/kit/identity';
import { Pool } from 'undici';
import type { z } from 'zod';
import { createPatientConnector, PATIENCE_MS } from '../forward/patient-connect.ts';
import { ANSWER_MS, createBatches, type Outcome } from './batches.ts';

const CONNECTIONS = 16;
const IDENTITY_REUSED_MS = 30_000;
// What every owner takes for an id, in the one spelling that it answers with. What a client names as an organization
// may look like one and be none.
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
/** How an owner of an older release says that it has no such endpoint, or any owner that it takes no such question. */
const NOT_TAKEN = [400, 404, 405, 413];
const NOTHING: GuardFact = { org: null, member: null };

interface Options {
  signer: IdentitySigner;
  authUrl: string;
  orgUrl: string;
}

/** The services that own the facts, asked as the gateway itself and not on behalf of the user. */
export function createOwners({ signer, authUrl, orgUrl }: Options) {
  const auth = createAsker('auth', authUrl, signer);
  const org = createAsker('org', orgUrl, signer);
  const sessions = createBatches({
    askOne: (sessionId: string) => auth.ask(`/internal/sessions/${sessionId}`, SessionFact),
    async askAll(session_ids, timeoutMs) {
      const answer = await auth.askMany('/internal/sessions', { session_ids }, timeoutMs);
      return answer && session_ids.map((id) => outcomeOf(SessionFact.nullable(), answer, 'sessions', id));
    },
    fits: (sessionId) => ID.test(sessionId),
    now: () => performance.now(),
    patienceMs: auth.patienceMs,
  });
  const guards = createBatches({
    askOne: async ({ org_id, user_id }: Pair) =>
      (await org.ask(`/internal/guard/${org_id}/${user_id}`, GuardFact)) ?? NOTHING,
    async askAll(pairs, timeoutMs) {
      const answer = await org.askMany('/internal/guard', { pairs }, timeoutMs);
      return (
        answer && pairs.map(({ org_id, user_id }) => outcomeOf(GuardFact, answer, 'guards', guardKey(org_id, user_id)))
      );
    },
    fits: ({ org_id, user_id }) => ID.test(org_id) && ID.test(user_id),
    now: () => performance.now(),
    patienceMs: org.patienceMs,
  });
  return {
    session: sessions,
    guard: (org_id: string, user_id: string): Promise<GuardFact> => guards({ org_id, user_id }),
    /** `address` is where the key is used from, for the note of its last use. */
    apiKey: (hash: string, address: string) =>
      org.ask(`/internal/api-keys/${hash}`, ApiKeyFact, { 'x-forwarded-for': address }),
    jwks: () => auth.askJson('/internal/jwks'),
    close: () => Promise.all([auth.close(), org.close()]),
  };
}

interface Pair {
  org_id: string;
  user_id: string;
}

export type Owners = Pick<ReturnType<typeof createOwners>, 'session' | 'apiKey' | 'guard'>;

function createAsker(service: ServiceName, url: string, signer: IdentitySigner) {
  const connector = createPatientConnector();
  const pool = new Pool(url, {
    connections: CONNECTIONS,
    connect: connector.connect,
    headersTimeout: ANSWER_MS,
    bodyTimeout: ANSWER_MS,
  });
  const patienceMs = () => (connector.troubled() ? PATIENCE_MS : 0);
  let identity = '';
  let mintedAt = Number.NEGATIVE_INFINITY;

  function ownIdentity(): string {
    if (performance.now() - mintedAt > IDENTITY_REUSED_MS) {
      identity = signer.sign({ sub: 'gateway', kind: 'service' }, service);
      mintedAt = performance.now();
    }
    return identity;
  }

  async function request(
    path: string,
    {
      headers = {},
      body,
      timeoutMs = ANSWER_MS,
    }: { headers?: Record<string, string>; body?: object; timeoutMs?: number } = {},
  ): Promise<{ status: number; body: unknown }> {
    const limit = startLimit(timeoutMs, patienceMs);
    try {
      const answer = await pool.request({
        path,
        method: body ? 'POST' : 'GET',
        headers: { ...headers, ...(body && { 'content-type': 'application/json' }), [IDENTITY_HEADER]: ownIdentity() },
        signal: limit.signal,
        ...(body && { body: JSON.stringify(body) }),
      });
      const text = await answer.body.text();
      return { status: answer.statusCode, body: answer.statusCode === 200 ? JSON.parse(text) : undefined };
    } finally {
      limit.end();
    }
  }

  async function askJson(path: string): Promise<unknown> {
    const { status, body } = await request(path);
    if (status !== 200) throw new Error(`${service} answered ${status}`);
    return body;
  }

  return {
    askJson,
    patienceMs,
    /** Null on 404; throws on everything else that is no valid answer, so that the request is refused. */
    async ask<S extends z.ZodType>(
      path: string,
      schema: S,
      headers?: Record<string, string>,
    ): Promise<z.output<S> | null> {
      const { status, body } = await request(path, headers && { headers });
      if (status === 404) return null;
      if (status !== 200) throw new Error(`${service} answered ${status}`);
      return schema.parse(body);
    },
    /** As it came, for `outcomeOf`; undefined when the owner takes no such question. */
    async askMany(path: string, question: object, timeoutMs: number): Promise<object | undefined> {
      const { status, body } = await request(path, { body: question, timeoutMs });
      if (NOT_TAKEN.includes(status)) return undefined;
      if (status !== 200 || typeof body !== 'object' || body === null) throw new Error(`${service} answered ${status}`);
      return body;
    },
    close: () => pool.close(),
  };
}

/** Ends a question after its time, or a little later when the service could not be reached meanwhile. */
function startLimit(timeoutMs: number, patienceMs: () => number): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController();
  const abort = () => controller.abort(new DOMException('The service did not answer in time.', 'TimeoutError'));
  let timer = setTimeout(() => {
    timer = setTimeout(abort, patienceMs());
  }, timeoutMs);
  return { signal: controller.signal, end: () => clearTimeout(timer) };
}

/** What a batch's answer says to one question. One that it does not answer well leaves the others as they are. */
function outcomeOf<S extends z.ZodType>(schema: S, answer: object, field: string, id: string): Outcome<z.output<S>> {
  const entries = (answer as Record<string, Record<string, unknown> | undefined>)[field];
  const { success, data, error } = schema.safeParse(entries?.[id]);
  return success ? { value: data } : { error };
}
