import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { markRestorePoint, psqlIn, readRepository } from './database.ts';
import { readManifest } from './manifest.ts';
import { writeRestoreMetrics } from './records.ts';
import { type Backup, chooseTarget, restoreOptions } from './repository.ts';
import { removeScratch, withScratch } from './scratch.ts';
import { archiveAge, verifyScratch } from './verified-backup.ts';

export interface Drill {
  /** Until the newest state was restored and verified. */
  rto_seconds: number;
  /** How old the newest archived change was when nobody had asked for it to be archived. */
  rpo_seconds: number;
  /** The point in time that was restored from the second place. */
  point: string | null;
}

/** A moment that a backup of a place reaches, evenly drawn; undefined where there is none. */
export function randomMoment(backups: readonly Backup[], now: Date, random = Math.random): Date | undefined {
  const first = backups[0]?.endedAt.getTime();
  if (first === undefined || now.getTime() <= first) return undefined;
  return new Date(first + Math.floor(random() * (now.getTime() - first)));
}

/**
 * Restores the newest state from the first place and a random moment from the second, into scratch servers, and
 * publishes what a disaster would cost: how much (RPO) and how long (RTO).
 */
export async function restoreDrill(context: Context): Promise<Drill> {
  const { compose, places, report } = context;
  await removeScratch(context);
  const rpoSeconds = await archiveAge(context);
  const before = await readManifest(compose);
  const point = await markRestorePoint(context, 'drill');
  const { backups } = await readRepository(context);
  const near = chooseTarget(
    backups.filter(({ place }) => place === 1),
    'latest',
    '',
  );

  const startedAt = performance.now();
  await report.step('latest', 'Restore the newest state from this host and compare every table', () =>
    withScratch(
      context,
      { args: [...restoreOptions(near), '--type=name', `--target=${point}`, '--target-action=promote'] },
      async (scratch) => {
        await verifyScratch(context, scratch, before);
        await checkIndexes(context, scratch.id);
      },
    ),
  );
  const rtoSeconds = Math.round(performance.now() - startedAt) / 1000;
  writeRestoreMetrics(places, { at: new Date(), rtoSeconds, rpoSeconds });

  const far = backups.filter(({ place }) => place === 2);
  const moment = randomMoment(far, new Date(before.at));
  if (!moment) {
    report.warn('The second place has no backup yet: nothing was restored from it.');
    return { rto_seconds: rtoSeconds, rpo_seconds: rpoSeconds, point: null };
  }
  await report.step('moment', `Restore ${moment.toISOString()} from the second place`, () =>
    withScratch(context, { args: restoreOptions(chooseTarget(far, 'latest', moment.toISOString())) }, ({ socket }) =>
      checkMoment(context, socket),
    ),
  );
  return { rto_seconds: rtoSeconds, rpo_seconds: rpoSeconds, point: moment.toISOString() };
}

async function checkMoment({ compose }: Context, socket: string): Promise<void> {
  const { chain } = await readManifest(compose, { verify: true, socket });
  if (chain?.intact === false)
    throw new Failure(EXIT.backup, `The audit log of a restored moment does not hold: ${chain.problem}`);
}

/** Looks into every table and index for what a restore could have broken. */
async function checkIndexes(context: Context, id: string): Promise<void> {
  const database = context.settings['DATABASE_NAME'] ?? 'gatehouse';
  await psqlIn(id, 'create extension if not exists amcheck', database);
  // An error names the index; what is damaged does not pass.
  await psqlIn(
    id,
    `with indexes as materialized (
       select c.oid from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
       where a.amname = 'btree' and c.relpersistence = 'p' and i.indisvalid)
     select count(bt_index_check(x.oid, true)) from indexes x`,
    database,
  );
}
