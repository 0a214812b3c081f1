import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { removeScratch } from '../backup/scratch.ts';
import { must, run } from '../command.ts';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import type { Colour } from '../places.ts';
import { clearJournal, type Journal, type Release, readHistory, readJournal, readLive } from '../state.ts';
import { announce } from './announce.ts';
import { adoptByHand } from './by-hand.ts';
import { containersOf, removeColour, startColour, stopColour } from './colour.ts';
import { contextOf } from './deployment.ts';
import {
  type EdgeFiles,
  findNginx,
  namedColour,
  readEdgeFiles,
  upstreamText,
  workersGone,
  writeEdgeFiles,
} from './edge.ts';
import { eventOf, settle, tellAuditLog } from './finish.ts';
import { awaitReady } from './gate.ts';
import { recordKilled } from './record.ts';
import { decideRecovery } from './recover-rules.ts';
import { coloursOf, forgetPrepared, loadNextRelease, loadRelease, releaseContext } from './release.ts';
import { completeRestart } from './restart.ts';
import { asFailure } from './stages.ts';
import { gatewayAddresses, replaceEdge } from './switch.ts';

/**
 * Clears up what an earlier run has left when it was killed. Does nothing when there is nothing. Returns the release that
 * users are on when that is what a rollback would have brought about.
 */
export async function recover(context: Context, detail: (text: string) => void): Promise<Release | null> {
  const { places } = context;
  const flag = join(places.nginx, 'flags', 'draining');
  // It stands from before nginx's files are written until nginx has read them.
  const unread = existsSync(flag);
  removeDrafts(context);
  await removeJobs(context);
  await removeScratch(context);
  const live = readLive(places);
  const journal = readJournal(places);
  const { keep, drop, switchBack, adopt } = decideRecovery({ live, journal, named: namedColour(places) });
  if (!adopt) forgetPrepared(places);
  if (keep && journal && journal.stage !== 'preparing') await serving(context, journal, keep, switchBack, adopt);
  if (drop && !adopt) {
    const old = keep ? contextOf(context, keep) : context;
    if (drop.remove) await removeColour(old, drop.colour);
    else await stopColour(old, drop.colour);
  }
  if (!journal) {
    if (live) {
      await completeRestart(context, live.colour);
      await completeUpstream(context, live, unread);
    } else await adoptByHand(context);
  } else await close(context, journal, keep, adopt, detail);
  rmSync(flag, { force: true });
  return isRolledBack(journal, switchBack, adopt) ? keep : null;
}

/** A deploy that had users on its release was taken back, or a rollback that was killed is finished. */
function isRolledBack(journal: Journal | null, switchBack: boolean, adopt: boolean): boolean {
  return journal?.command === 'rollback' ? adopt : switchBack && !adopt;
}

/** The last that is done about a run that was killed: until the journal is gone, the next command does all again. */
async function close(
  context: Context,
  journal: Journal,
  keep: Release | null,
  adopt: boolean,
  detail: (text: string) => void,
): Promise<void> {
  const { places, environment } = context;
  if (adopt && keep) await settle(contextToServe(context, keep, adopt, journal.from?.revision), keep, journal.from);
  // One that ended with code 90, or was killed after it wrote its record, has told of itself.
  const recorded = readHistory(places).some(({ id }) => id === journal.id);
  const line = recorded ? undefined : recordKilled(places, environment, journal, adopt);
  clearJournal(places);
  if (adopt) await tellAuditLog(context, eventOf(journal, null));
  if (line) await announce(context, line);
  detail(
    `${journal.command} of ${journal.revision} did not end; ${keep ? `${keep.revision} is live` : 'nothing is live'}`,
  );
}

/** A release that is adopted runs as it was prepared, and one that is gone back to as it was proven. */
function contextToServe(context: Context, release: Release, adopt: boolean, other?: string): Context {
  const kept = adopt ? loadNextRelease(context.places, release.revision) : undefined;
  return kept ? releaseContext(context, kept, coloursOf(release, other)) : contextOf(context, release, other);
}

/** Serves, or ends with the code of a way back that failed where users are on what was not proven. */
async function serving(
  context: Context,
  journal: Journal,
  keep: Release,
  switchBack: boolean,
  adopt: boolean,
): Promise<void> {
  const { places, environment } = context;
  try {
    await serve(context, keep, switchBack, adopt);
  } catch (thrown) {
    const error = asFailure(thrown, 'on the way back', EXIT.rollbackFailed);
    if (!switchBack) throw error;
    throw new Failure(
      EXIT.rollbackFailed,
      `The ${journal.command} of ${journal.revision} did not end, and ${keep.revision} could not be put in its place: ${error.message}`,
      [
        ...error.lines,
        `nginx names ${namedColour(places) ?? 'nobody'}. Look at: make status ENV=${environment}, make logs S=nginx.`,
        `Then run the same command again: it puts ${keep.revision} in place first. ${places.journal} tells it what was done.`,
      ],
    );
  }
}

/** Makes sure that the release which is to serve does, before anything else of the killed run is touched. */
async function serve(context: Context, release: Release, switchBack: boolean, adopt: boolean): Promise<void> {
  const { places } = context;
  const { colour } = release;
  const own = contextToServe(context, release, adopt);
  const processes = await containersOf(own, colour);
  if (processes.length === 0 || processes.some(({ state }) => state !== 'running')) {
    await startColour(own, colour);
    await awaitReady(own, colour, processes);
  }
  if (!switchBack) return;
  const kept = adopt ? loadNextRelease(places, release.revision) : loadRelease(places, release.revision);
  await pointTo(own, { ...(kept && readEdgeFiles(kept.edge)), ...upstreamOf(own, colour) });
}

const upstreamOf = ({ settings }: Context, colour: Colour) => ({
  'upstream.conf': upstreamText(gatewayAddresses(settings, colour)),
});

/** An nginx that does not run reads its files when it is started, which a deploy does. */
async function pointTo(context: Context, files: EdgeFiles): Promise<void> {
  if (!(await findNginx(context))) return writeEdgeFiles(context.places, files);
  const { nginx, oldWorkers } = await replaceEdge(context, files);
  await workersGone(nginx, oldWorkers);
}

/** A restart that was killed has left out a gateway, or not told nginx that it is back. */
async function completeUpstream(context: Context, { colour }: Release, unread: boolean): Promise<void> {
  const { places, report } = context;
  const path = join(places.nginx, 'upstream.conf');
  const wanted = upstreamOf(context, colour);
  if (!existsSync(path) || (!unread && readFileSync(path, 'utf8') === wanted['upstream.conf'])) return;
  const gateways = (await containersOf(context, colour)).filter(({ service }) => service.startsWith('gateway-'));
  for (const { id, state } of gateways) if (state !== 'running') await run('docker', ['start', id]);
  try {
    await awaitReady(context, colour, await containersOf(context, colour));
  } catch (error) {
    // Users are served by the others; a deploy that repairs it must not be kept from its work.
    return report.warn(`A restart was killed, and nginx still leaves a gateway out: ${(error as Error).message}`);
  }
  await pointTo(context, wanted);
}

/** One-shot containers whose command was killed: a migration that still runs is given its time, for it is not undone. */
async function removeJobs({ project }: Context): Promise<void> {
  const labels = [`com.docker.compose.project=${project}`, 'com.docker.compose.oneoff=True'];
  const list = ['ps', '-aq', ...labels.flatMap((label) => ['--filter', `label=${label}`])];
  const ids = (await must('docker', list)).split('\n').filter(Boolean);
  if (ids.length === 0) return;
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await delay(500)) {
    const running = (await must('docker', [...list, '--filter', 'status=running'])).trim();
    if (running === '') break;
  }
  await run('docker', ['rm', '-f', ...ids]);
}

/** Half-written folders and files; nobody else writes them while the lock is held. */
function removeDrafts({ places }: Context): void {
  const inside = (folder: string) => (existsSync(folder) ? readdirSync(folder) : []);
  const releases = inside(places.releases).map((name) => join(places.releases, name));
  for (const folder of [places.state, places.nginx, places.releases, ...releases])
    for (const name of statSync(folder, { throwIfNoEntry: false })?.isDirectory() ? inside(folder) : [])
      if (name.endsWith('.draft') || name.endsWith('.trial'))
        rmSync(join(folder, name), { recursive: true, force: true });
}
