import { z } from 'zod';
import type { Actor } from './actor.ts';
import { hmac, sha256 } from './crypto.ts';
import { maybe, run, type Tx, transactionScope } from './db.ts';
import type { Endpoint } from './endpoint.ts';
import { AppError } from './errors.ts';

const KEY = /^[\x21-\x7e]{1,255}$/;
const Stored = z.object({ request_hash: z.string(), answer: z.unknown() });

/** Thrown out of a transaction whose key has already been used for the same request: carries the stored answer. */
export class Replay extends Error {
  readonly answer: unknown;

  constructor(answer: unknown) {
    super('replay');
    this.answer = answer;
  }
}

interface Request {
  endpoint: Endpoint;
  actor: Actor;
  path: string;
  body: unknown;
  key: string;
}

/**
 * Runs a handler so that its first transaction claims the Idempotency-Key and stores what it returns, all in the one
 * commit: the effect and the answer exist together or not at all (draft-ietf-httpapi-idempotency-key-header).
 * What the handler adds after its transaction (a secret shown once) is never stored, so a replay lacks it.
 */
export function idempotently<T>({ endpoint, actor, path, body, key }: Request, handle: () => Promise<T>): Promise<T> {
  if (!KEY.test(key))
    throw new AppError('request.header_invalid', 'Idempotency-Key takes 1 to 255 visible characters.');
  const scope = sha256(`${actor.user_id}\n${actor.org?.id ?? ''}\n${endpoint.method} ${path}\n${key}`).toString('hex');
  // Keyed with what is not stored: the body may hold a password, and all else that is in it can be read elsewhere.
  const requestHash = hmac(key, JSON.stringify(body ?? null)).toString('hex');
  let answered = false;
  return transactionScope.run(
    {
      async afterBegin(tx) {
        if (!answered) await claim(tx, scope, requestHash);
      },
      async beforeCommit(tx, result) {
        if (answered) return;
        await run(tx)`
          update app.idempotency_keys k set answer = ${JSON.stringify(result ?? null)}::jsonb where k.scope = ${scope}`;
      },
      // Only now: a transaction that is run again must claim again.
      afterCommit() {
        answered = true;
      },
    },
    handle,
  );
}

async function claim(tx: Tx, scope: string, requestHash: string): Promise<void> {
  const lock = await maybe(tx, z.object({ free: z.boolean() }))`
    select pg_try_advisory_xact_lock(hashtextextended(${scope}, 0)) as free`;
  if (!lock?.free) throw new AppError('idempotency.in_progress', undefined, { headers: { 'retry-after': '1' } });
  const stored = await maybe(tx, Stored)`
    select k.request_hash, k.answer from app.idempotency_keys k where k.scope = ${scope}`;
  if (!stored) {
    await run(tx)`insert into app.idempotency_keys (scope, request_hash) values (${scope}, ${requestHash})`;
    return;
  }
  if (stored.request_hash !== requestHash) throw new AppError('idempotency.mismatch');
  throw new Replay(stored.answer);
}
