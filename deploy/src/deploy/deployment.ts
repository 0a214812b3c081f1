import { randomBytes } from 'node:crypto';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { type Journal, type Release, writeJournal } from '../state.ts';
import { containersOf, removeColour, saveLogs, startColour, stopColour } from './colour.ts';
import { type EdgeFiles, namedColour, workersGone } from './edge.ts';
import { coloursOf, type KeptRelease, loadRelease, releaseContext } from './release.ts';
import { confirmServing, switchTo } from './switch.ts';

/** A deploy or rollback under way. */
export interface Deployment {
  /** The context of the release that is to be live. */
  context: Context;
  kept: KeptRelease;
  journal: Journal;
  /** nginx's files as the release has them. */
  edge: EdgeFiles;
  /** What the record tells of it. */
  images: Record<string, string>;
  migrations: string[];
  backup: string | null;
  /** nginx's files as they were before the switch. */
  before?: EdgeFiles;
}

export function beginJournal(command: Journal['command'], next: Release, from: Release | null): Journal {
  const started_at = new Date().toISOString();
  const id = `${started_at.replaceAll(/[-:]|\.\d+/g, '')}-${randomBytes(3).toString('hex')}`;
  return { id, command, ...next, from, stage: 'preparing', started_at };
}

/** Written before each change, so that a run that is killed tells the next one what it may have done. */
export function reach({ context, journal }: Deployment, stage: Journal['stage']): void {
  journal.stage = stage;
  writeJournal(context.places, journal);
}

/** The context of a release that ran before; what it lacks comes from the one at hand. */
export function contextOf(context: Context, release: Release, other?: string): Context {
  const kept = loadRelease(context.places, release.revision);
  return kept ? releaseContext(context, kept, coloursOf(release, other)) : context;
}

/**
 * Undoes what was begun, and returns what the command ends with: the failure itself when users noticed nothing, code 70
 * when they were on the release and are back on the one before, code 90 when they could not be brought back.
 */
export async function takeBack(deployment: Deployment, failure: Failure): Promise<Failure> {
  const { context, journal, kept } = deployment;
  const { places } = context;
  if (journal.stage === 'preparing' || journal.stage === 'finishing') return failure;
  const { from } = journal;
  const reached = journal.stage === 'switched' && from !== null && namedColour(places) !== from.colour;
  if (!reached) {
    const logs = await clearAway(deployment);
    return new Failure(failure.code, failure.message, [
      ...failure.lines,
      from ? `Users have been on ${from.revision} all the time.` : 'Nothing was live before, and nothing is.',
      logs,
    ]);
  }
  try {
    const { ms, logs } = await goBack(deployment, from);
    return new Failure(EXIT.rolledBack, `${kept.revision} was taken back: ${failure.message}`, [
      ...failure.lines,
      `Users are on ${from.revision} (${from.colour}) again, ${(ms / 1000).toFixed(1)} s after this was seen.`,
      logs,
      'The schema stays as it is: migrations of a deploy only add.',
    ]);
  } catch (error) {
    const why = error instanceof Failure ? [error.message, ...error.lines] : [String(error)];
    return new Failure(EXIT.rollbackFailed, `Going back to ${from.revision} failed after: ${failure.message}`, [
      ...why,
      `nginx names ${namedColour(places) ?? 'nobody'}. Look at: make status, make logs S=nginx.`,
      `Then run the same command again, or make rollback: both put it in place first. ${places.journal} tells them what was done.`,
    ]);
  }
}

/** Users first, then the logs, and then the processes, once nothing is on its way to them any more. */
async function goBack(deployment: Deployment, from: Release): Promise<{ ms: number; logs: string }> {
  const startedAt = performance.now();
  const { context, kept, before } = deployment;
  const old = contextOf(context, from, kept.revision);
  const processes = await containersOf(old, from.colour);
  if (processes.length === 0 || processes.some(({ state }) => state !== 'running')) await startColour(old, from.colour);
  const back = await switchTo(old, from.colour, before);
  const ms = Math.round(performance.now() - startedAt);
  context.report.warn(`Users are on ${from.revision} again, after ${ms} ms.`);
  await confirmServing(old, from.colour);
  return { ms, logs: await clearAway(deployment, () => workersGone(back.nginx, back.oldWorkers)) };
}

/**
 * Keeps the logs and takes the processes away; tells where the logs are. Where users are is settled by then: a full disk
 * or a container that will not go changes neither that nor how the command ends, and the next command tries again.
 */
async function clearAway(deployment: Deployment, first: () => Promise<unknown> = async () => {}): Promise<string> {
  const { context, journal, kept } = deployment;
  let logs = `The last 200 lines of every process of ${kept.revision}: `;
  try {
    logs += await saveLogs(await containersOf(context, journal.colour), kept.folder);
  } catch (error) {
    logs = `The logs of ${kept.revision} could not be kept: ${(error as Error).message}`;
  }
  try {
    await first();
    await drop(deployment);
  } catch (error) {
    context.report.warn(`Not all processes of ${kept.revision} are gone: ${(error as Error).message.split('\n')[0]}`);
  }
  return logs;
}

/** A release that a rollback went to was live once: its containers stay. */
async function drop({ context, journal }: Deployment): Promise<void> {
  if (journal.command === 'rollback') await stopColour(context, journal.colour);
  else await removeColour(context, journal.colour);
}
