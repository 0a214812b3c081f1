import { EVENTS, type EventData, type EventType } from '@gatehouse/contracts/events';
import { JOBS, type JobName, type JobPayload } from '@gatehouse/contracts/jobs';
import type { Actor } from './actor.ts';
import { type Db, run } from './db.ts';
import { newId } from './ids.ts';

interface EventOptions {
  /**
   * The organization the event belongs to, null for none. The actor's by default; but what happens to an account is no
   * organization's business, even when a request names one.
   */
  org_id?: string | null;
  /** What was acted on. */
  target?: { type: string; id: string };
  outcome?: 'success' | 'failure' | 'denied';
}

/**
 * Records an event in the transaction of the change that it tells of: both are there, or neither.
 * The audit service seals it into the log.
 */
export async function publish<T extends EventType>(
  tx: Db,
  actor: Actor,
  type: T,
  data: EventData<T>,
  { org_id = defaultOrg(type, actor), target, outcome = 'success' }: EventOptions = {},
): Promise<void> {
  const { kind, data: schema } = EVENTS[type];
  const { kind: actorKind, user_id, session_id, key_id, role } = actor;
  const who = { kind: actorKind, user_id, session_id, key_id, role, org_role: actor.org?.role };
  await run(tx)`
    insert into events.outbox (id, type, kind, org_id, actor, target_type, target_id, outcome,
                               address, agent, request_id, trace_id, data)
    values (${newId()}, ${type}, ${kind}, ${org_id}, ${JSON.stringify(who)}::jsonb,
            ${target?.type ?? null}, ${target?.id ?? null}, ${outcome},
            ${actor.address}, ${actor.agent}, ${actor.request_id}, ${actor.trace_id},
            ${JSON.stringify(schema.parse(data))}::jsonb)`;
}

const defaultOrg = (type: EventType, actor: Actor) => (type.startsWith('auth.') ? null : (actor.org?.id ?? null));

interface JobOptions {
  /** What must not be read on the way, sealed by the caller with the key that only its handler shares. */
  secret?: Buffer;
  after?: Date;
  /** Known beforehand when the secret is sealed with it as context. */
  id?: string;
}

/** Owes work: written in the transaction of the change that causes it, carried out by the worker at least once. */
export async function enqueue<N extends JobName>(
  tx: Db,
  name: N,
  payload: JobPayload<N>,
  { secret, after, id = newId() }: JobOptions = {},
): Promise<string> {
  const { queue, payload: schema } = JOBS[name];
  await run(tx)`
    insert into events.jobs (id, name, queue, payload, secret, run_after)
    values (${id}, ${name}, ${queue}, ${JSON.stringify(schema.parse(payload))}::jsonb, ${secret ?? null},
            coalesce(${after ?? null}::timestamptz, clock_timestamp()))`;
  return id;
}
