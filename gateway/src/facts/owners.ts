import { ApiKeyFact, GuardFact, SessionFact } from '@gatehouse/contracts/facts';
import { IDENTITY_HEADER } from '@gatehouse/contracts/identity';
import type { ServiceName } from '@gatehouse/contracts/routes';
import type { IdentitySigner } from '@gatehouse/kit/identity';
import { Pool } from 'undici';
import type { z } from 'zod';

const CONNECTIONS = 16;
const TIMEOUT_MS = 2_000;
const IDENTITY_REUSED_MS = 30_000;

interface Options {
  signer: IdentitySigner;
  authUrl: string;
  orgUrl: string;
}

/** The services that own the facts, asked as the gateway itself and not on behalf of the user. */
export function createOwners({ signer, authUrl, orgUrl }: Options) {
  const auth = createAsker('auth', authUrl, signer);
  const org = createAsker('org', orgUrl, signer);
  return {
    session: (sessionId: string) => auth.ask(`/internal/sessions/${sessionId}`, SessionFact),
    /** `address` is where the key is used from, for the note of its last use. */
    apiKey: (hash: string, address: string) =>
      org.ask(`/internal/api-keys/${hash}`, ApiKeyFact, { 'x-forwarded-for': address }),
    async guard(orgId: string, userId: string): Promise<GuardFact> {
      return (await org.ask(`/internal/guard/${orgId}/${userId}`, GuardFact)) ?? { org: null, member: null };
    },
    jwks: () => auth.askJson('/internal/jwks'),
    close: () => Promise.all([auth.close(), org.close()]),
  };
}

export type Owners = Pick<ReturnType<typeof createOwners>, 'session' | 'apiKey' | 'guard'>;

function createAsker(service: ServiceName, url: string, signer: IdentitySigner) {
  const pool = new Pool(url, {
    connections: CONNECTIONS,
    connectTimeout: TIMEOUT_MS,
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
  });
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
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: unknown }> {
    const answer = await pool.request({
      path,
      method: 'GET',
      headers: { ...headers, [IDENTITY_HEADER]: ownIdentity() },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await answer.body.text();
    return { status: answer.statusCode, body: answer.statusCode === 200 ? JSON.parse(text) : undefined };
  }

  async function askJson(path: string): Promise<unknown> {
    const { status, body } = await request(path);
    if (status !== 200) throw new Error(`${service} answered ${status}`);
    return body;
  }

  return {
    askJson,
    /** Null on 404; throws on everything else that is no valid answer, so that the request is refused. */
    async ask<S extends z.ZodType>(
      path: string,
      schema: S,
      headers?: Record<string, string>,
    ): Promise<z.output<S> | null> {
      const { status, body } = await request(path, headers);
      if (status === 404) return null;
      if (status !== 200) throw new Error(`${service} answered ${status}`);
      return schema.parse(body);
    },
    close: () => pool.close(),
  };
}
