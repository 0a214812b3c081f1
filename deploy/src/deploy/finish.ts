import { run } from '../command.ts';
import type { Context } from '../context.ts';
import { writeMonitoring } from '../monitoring.ts';
import { type DeployRecord, recordDeployEvent } from '../smoke/record.ts';
import { clearJournal, type Journal, type Release, readLive, writeLive } from '../state.ts';
import { announce } from './announce.ts';
import { stopColour } from './colour.ts';
import { contextOf, type Deployment, reach } from './deployment.ts';
import { findNginx, leavingWorkers, workersGone } from './edge.ts';
import { refreshSupport } from './infrastructure.ts';
import { pruneReleases } from './pruning.ts';
import { recordEnd } from './record.ts';
import { keepPrepared } from './release.ts';

/** The release is proven: the one before stops, and what was done is written down. */
export async function finish(deployment: Deployment): Promise<void> {
  const { context, journal } = deployment;
  const { places, report } = context;
  const next: Release = { revision: journal.revision, colour: journal.colour };
  reach(deployment, 'finishing');
  await settle(context, next, journal.from);
  const line = recordEnd(deployment);
  clearJournal(places);
  await tellAuditLog(context, eventOf(journal, deployment.backup));
  await announce(context, line);
  await attempt(context, 'Old releases were not removed', async () => {
    const pruned = await pruneReleases(context);
    if (pruned.length > 0) report.note(`Removed old releases: ${pruned.join(', ')}`);
  });
}

export function eventOf({ command, id, from, revision, colour }: Journal, backup: string | null): DeployRecord {
  const to = { revision, colour };
  return command === 'deploy' ? { command, id, from, to, backup } : { command, id, from, to, reason: 'asked for' };
}

export function tellAuditLog(context: Context, event: DeployRecord): Promise<void> {
  return attempt(context, 'The audit log was not told', () => recordDeployEvent(context, event));
}

/** Makes the release the live one: nothing else runs afterwards. Safe to do again. */
export async function settle(context: Context, next: Release, from: Release | null): Promise<void> {
  const { places } = context;
  keepPrepared(context, next.revision);
  // What an old worker of nginx is still forwarding goes to the old colour, which must be there until then.
  const nginx = await findNginx(context);
  if (nginx) await workersGone(nginx, await leavingWorkers(nginx));
  if (from) await stopColour(contextOf(context, from, next.revision), from.colour);
  await attempt(context, 'Monitoring was not brought up to date', () => refresh(context));
  const live = readLive(places);
  if (live?.revision === next.revision && live.colour === next.colour) return;
  writeLive(places, { ...next, since: new Date().toISOString(), previous: previousOf(next, from, live?.previous) });
}

/** The same revision again, in the other colour, is nothing to go back to. */
function previousOf(next: Release, from: Release | null, before: Release | null = null): Release | null {
  if (from?.revision !== next.revision) return from;
  return before && { revision: before.revision, colour: from.colour };
}

async function refresh(context: Context): Promise<void> {
  const { compose, places, settings } = context;
  const changed = writeMonitoring(compose.options.source, places, settings);
  await refreshSupport(context);
  const reloading = changed.filter((name) => name === 'prometheus' || name === 'alertmanager');
  // Through `exec`, as nginx is reloaded, and for the same reason.
  for (const { id, state } of reloading.length > 0 ? await compose.containers(reloading) : [])
    if (state === 'running') await run('docker', ['exec', id, 'kill', '-HUP', '1']);
}

async function attempt(context: Context, complaint: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    context.report.warn(`${complaint}: ${(error as Error).message}`);
  }
}
