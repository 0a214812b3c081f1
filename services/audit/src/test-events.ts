import type { Actor } from '@gatehouse/kit/actor';
import { systemClock } from '@gatehouse/kit/clock';
import type { Db, Pool } from '@gatehouse/kit/db';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import { seal } from './sealing/seal.ts';

/** A user as the actor of events, for tests. */
export function testActor(overrides: Partial<Actor> = {}): Actor {
  return {
    kind: 'user',
    user_id: newId(),
    session_id: newId(),
    role: 'user',
    request_id: 'r1',
    trace_id: 't1',
    address: '203.0.113.7',
    agent: 'Tests "1.0" \\ é',
    ...overrides,
  };
}

/** Publishes `count` refused decisions; their `route` is numbered, so that a test can tell them apart. */
export async function publishMany(
  db: Db,
  count: number,
  org_id: string | null = null,
  actor = testActor(),
): Promise<void> {
  for (let n = 1; n <= count; n++) {
    const data = { method: 'GET', route: `/r/${n}`, status: 403, code: 'access.denied' };
    await publish(db, actor, 'access.denied.v1', data, { org_id, outcome: 'denied' });
  }
}

/** Seals until nothing waits; tells how many it were. */
export async function sealAll(pool: Pool): Promise<number> {
  for (let sealed = 0; ; ) {
    const sealing = await seal(pool, { clock: systemClock });
    sealed += sealing.sealed.length;
    if (!sealing.more) return sealed;
  }
}
