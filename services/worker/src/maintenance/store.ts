import { one, type Pool, run } from '@gatehouse/kit/db';
import { z } from 'zod';

const Removed = z.object({ removed: z.number() });

/** Whether a schema has its clean-up function yet. */
async function hasCleanUp(pool: Pool, schema: string): Promise<boolean> {
  const { present } = await one(pool, z.object({ present: z.boolean() }))`
    select to_regprocedure(${`${schema}.cleanup(timestamp with time zone)`}) is not null as present`;
  return present;
}

// Each schema cleans up by a door of its own: the worker may not touch its tables.
export async function cleanUpApp(pool: Pool, now: Date): Promise<number> {
  if (!(await hasCleanUp(pool, 'app'))) return 0;
  return (await one(pool, Removed)`select app.cleanup(${now}) as removed`).removed;
}

export async function cleanUpAuth(pool: Pool, now: Date): Promise<number> {
  if (!(await hasCleanUp(pool, 'auth'))) return 0;
  return (await one(pool, Removed)`select auth.cleanup(${now}) as removed`).removed;
}

export async function cleanUpOrg(pool: Pool, now: Date): Promise<number> {
  if (!(await hasCleanUp(pool, 'org'))) return 0;
  return (await one(pool, Removed)`select org.cleanup(${now}) as removed`).removed;
}

export function deleteFinishedJobs(pool: Pool, before: Date, limit: number): Promise<number> {
  return run(pool)`
    delete from events.jobs where id in (select j.id from events.jobs j where j.finished_at < ${before} limit ${limit})`;
}

export function deleteDeadJobs(pool: Pool, before: Date, limit: number): Promise<number> {
  return run(pool)`
    delete from events.jobs where id in (select j.id from events.jobs j where j.dead_at < ${before} limit ${limit})`;
}
