import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { removeScratch } from '../backup/scratch.ts';
import { must, run } from '../command.ts';
import type { Context } from '../context.ts';
import { clearJournal, type Release, readJournal, readLive } from '../state.ts';
import { adoptByHand } from './by-hand.ts';
import { containersOf, removeColour, startColour, stopColour } from './colour.ts';
import { contextOf } from './deployment.ts';
import { namedColour, readEdgeFiles, upstreamText, workersGone } from './edge.ts';
import { settle } from './finish.ts';
import { awaitReady } from './gate.ts';
import { recordKilled } from './record.ts';
import { decideRecovery } from './recover-rules.ts';
import { gatewayAddresses, switchTo } from './switch.ts';

/** Clears up what an earlier run has left when it was killed. Does nothing when there is nothing. */
export async function recover(context: Context, detail: (text: string) => void): Promise<void> {
  const { places, environment } = context;
  rmSync(join(places.nginx, 'flags', 'draining'), { force: true });
  removeDrafts(context);
  await removeJobs(context);
  await removeScratch(context);
  const live = readLive(places);
  const journal = readJournal(places);
  const { keep, drop, switchBack, adopt } = decideRecovery({ live, journal, named: namedColour(places) });
  if (keep && journal && journal.stage !== 'preparing') await serve(context, keep, switchBack);
  if (drop && !adopt) {
    const old = keep ? contextOf(context, keep) : context;
    if (drop.remove) await removeColour(old, drop.colour);
    else await stopColour(old, drop.colour);
  }
  if (!journal) {
    if (live) await completeUpstream(context, live);
    else await adoptByHand(context);
    return;
  }
  if (adopt && keep) await settle(contextOf(context, keep, journal.from?.revision), keep, journal.from);
  recordKilled(places, environment, journal, adopt);
  clearJournal(places);
  detail(
    `${journal.command} of ${journal.revision} was killed; ${keep ? `${keep.revision} is live` : 'nothing is live'}`,
  );
}

/** Makes sure that the release which is to serve does, before anything else of the killed run is touched. */
async function serve(context: Context, release: Release, switchBack: boolean): Promise<void> {
  const { places } = context;
  const { colour, revision } = release;
  const own = contextOf(context, release);
  const processes = await containersOf(own, colour);
  if (processes.length === 0 || processes.some(({ state }) => state !== 'running')) {
    await startColour(own, colour);
    await awaitReady(own, colour);
  }
  if (!switchBack) return;
  const { nginx, oldWorkers } = await switchTo(own, colour, readEdgeFiles(join(places.releases, revision, 'nginx')));
  await workersGone(nginx, oldWorkers);
}

/** A restart that was killed has left out a gateway. */
async function completeUpstream(context: Context, { colour }: Release): Promise<void> {
  const { places, settings } = context;
  const path = join(places.nginx, 'upstream.conf');
  if (!existsSync(path) || readFileSync(path, 'utf8') === upstreamText(gatewayAddresses(settings, colour))) return;
  const gateways = (await containersOf(context, colour)).filter(({ service }) => service.startsWith('gateway-'));
  for (const { id, state } of gateways) if (state !== 'running') await run('docker', ['start', id]);
  await awaitReady(context, colour);
  await switchTo(context, colour);
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
  for (const folder of [places.state, places.nginx, places.releases])
    for (const name of existsSync(folder) ? readdirSync(folder) : [])
      if (name.endsWith('.draft') || name === 'nginx.trial')
        rmSync(join(folder, name), { recursive: true, force: true });
}
