import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import type { Colour } from '../places.ts';
import { securityChecks } from '../smoke/security-checks.ts';
import { smoke } from '../smoke/smoke.ts';
import { ensureSynthetic } from '../smoke/synthetic.ts';
import { clearJournal } from '../state.ts';
import { announce } from './announce.ts';
import { bake, beforeBake, inTurns } from './bake.ts';
import { startColour } from './colour.ts';
import { type Deployment, reach, takeBack } from './deployment.ts';
import { readEdgeFiles } from './edge.ts';
import { finish } from './finish.ts';
import { awaitReady } from './gate.ts';
import { publicAddress } from './public-listener.ts';
import { recordEnd } from './record.ts';
import { asFailure, stage } from './stages.ts';
import { confirmServing, gatewayAddresses, switchTo } from './switch.ts';

interface Proof {
  bakeSeconds: number;
  /** The five security checks. */
  checks: boolean;
}

/** From the first process of the release to the last of the one before. Each change is announced in the journal. */
export async function prove(deployment: Deployment, proof: Proof): Promise<void> {
  const { context, journal, edge } = deployment;
  const { report, places } = context;
  const { colour, from } = journal;
  reach(deployment, 'started');
  await stage(report, 'start', () => startColour(context, colour));
  await stage(report, 'gate', async (detail) => {
    await awaitReady(context, colour);
    await ensureSynthetic(context);
    const times: number[] = [];
    for (const address of gatewayAddresses(context.settings, colour)) times.push(await smokeAt(context, address));
    detail(`smoke runs took ${times.map((ms) => `${ms} ms`).join(' and ')}`);
  });
  const before = await beforeBake(context, colour, from?.colour);
  deployment.before = readEdgeFiles(places.nginx);
  reach(deployment, 'switched');
  await stage(report, 'switch', async (detail) => {
    const { ms } = await switchTo(context, colour, edge);
    await confirmServing(context, colour);
    detail(`users are on it after ${ms} ms`);
  });
  await stage(report, 'bake', () =>
    bake(context, colour, before, { seconds: proof.bakeSeconds, synthetic: synthetic(context, colour) }),
  );
  if (proof.checks) await stage(report, 'checks', () => check(context));
  await stage(report, 'finish', () => finish(deployment));
}

/** Does the work; when it fails, takes back what was begun and writes down how it ended. */
export async function ending(deployment: Deployment, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    const { context, journal } = deployment;
    const error = asFailure(thrown, 'between two stages', EXIT.bug);
    // What is proven stays: the next command finishes it.
    if (journal.stage === 'finishing')
      throw new Failure(EXIT.bug, `The release is live, but not finished: ${error.message}`, [
        ...error.lines,
        'Run the same command again: it finishes this first.',
      ]);
    const failure = await takeBack(deployment, error);
    try {
      const line = recordEnd(deployment, failure);
      if (failure.code !== EXIT.rollbackFailed) clearJournal(context.places);
      await announce(context, line);
    } catch (unwritten) {
      // On a full disk; how the deploy ended is the more important.
      context.report.warn(`How it ended could not be written down: ${(unwritten as Error).message}`);
    }
    throw failure;
  }
}

async function smokeAt(context: Context, address: string): Promise<number> {
  const { ms } = await smoke(context, { url: `http://${address}`, host: publicAddress(context.settings).name });
  return ms;
}

function synthetic(context: Context, colour: Colour): () => Promise<number> {
  return inTurns(gatewayAddresses(context.settings, colour), (address) => smokeAt(context, address));
}

async function check(context: Context): Promise<void> {
  const failed = (await securityChecks(context)).filter(({ ok }) => !ok);
  if (failed.length === 0) return;
  const lines = failed.map(({ name, detail }) => `${name}: ${detail}`);
  throw new Failure(EXIT.rolledBack, `${failed.length} of the security checks failed`, lines);
}
