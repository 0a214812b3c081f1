import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { renderEdge } from '../configuration.ts';
import type { Context, Variables } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { buildImages } from '../images.ts';
import { migrationsStatus } from '../migrations/migrate-database.ts';
import { lineOf } from '../preflight/findings.ts';
import { judgeSubnet, listSubnets } from '../preflight/network.ts';
import { CHECKOUT, shortRevision } from '../project.ts';
import { type Live, readHistory, readLive, writeJournal } from '../state.ts';
import { announceStart } from './announce.ts';
import { bakeSecondsOf } from './bake.ts';
import { beginJournal, type Deployment } from './deployment.ts';
import { readEdgeFiles } from './edge.ts';
import { ending, prove } from './prove.ts';
import { recover } from './recover.ts';
import { otherOf } from './recover-rules.ts';
import { coloursOf, loadRelease, releaseContext } from './release.ts';
import { stage } from './stages.ts';
import { locked } from './under-lock.ts';

// Long enough to see what fails at once; the release has been live before.
const BAKE_SECONDS_MAX = 10;

/** The whole of `make rollback`: back to a release that was live, past the same gates, without touching the database. */
export async function rollback(context: Context, variables: Variables): Promise<void> {
  const { report, places } = context;
  await locked(context, { command: 'rollback', revision: variables.to }, variables, async () => {
    const back = await stage(report, 'recover', (detail) => recover(context, detail));
    // Whoever asks for it after a deploy or a rollback that did not end wants to be where users are now: one release
    // further would be one too old, or the one that somebody wanted to leave.
    if (back && !variables.to)
      return report.show('rolled-back', back, [
        `${back.revision} (${back.colour}) serves: what did not end before was cleared up, and nothing else was done.`,
      ]);
    const deployment = await stage(report, 'preflight', async (detail) => {
      const live = readLive(places);
      if (!live) throw new Failure(EXIT.usage, 'Nothing is live, so there is nothing to go back from');
      const revision = await targetOf(live, variables.to);
      detail(`from ${live.revision} to ${revision}`);
      return begin(context, live, revision);
    });
    const bakeSeconds = Math.min(bakeSecondsOf(deployment.context.settings), BAKE_SECONDS_MAX);
    await announceStart(deployment.context, deployment.journal);
    await ending(deployment, () => prove(deployment, { bakeSeconds, checks: false }));
  });
}

async function targetOf(live: Live, to: string): Promise<string> {
  const revision = to ? await shortRevision(CHECKOUT, to) : live.previous?.revision;
  if (!revision) throw new Failure(EXIT.usage, 'There is no release before this one', ['Name one with TO=revision.']);
  if (revision === live.revision) throw new Failure(EXIT.usage, `${revision} is live already`);
  return revision;
}

async function begin(context: Context, live: Live, revision: string): Promise<Deployment> {
  const { places } = context;
  const kept = loadRelease(places, revision);
  const before = readHistory(places).some(({ to, result }) => to === revision && result === 'succeeded');
  if (!kept || !before)
    throw new Failure(EXIT.usage, `${revision} is not among the releases that this host keeps`, [
      'make releases lists them.',
      `make deploy REVISION=${revision} deploys it anew, with all that a deploy looks at.`,
    ]);
  const from = { revision: live.revision, colour: live.colour };
  const next = { revision, colour: otherOf(live.colour) };
  const own = releaseContext(context, kept, coloursOf(next, from.revision));
  bakeSecondsOf(own.settings);
  await refuseOtherNetwork(own, revision);
  const built = await buildImages(own, { revision, source: kept.source });
  await refuseUnknownSchema(own, revision);
  const nginx = kept.edge;
  if (!existsSync(join(nginx, 'nginx.conf'))) await renderEdge({ ...own, places: { ...places, nginx } }, next.colour);
  const journal = beginJournal('rollback', next, from);
  writeJournal(places, journal);
  const images = Object.fromEntries(built.map(({ name, id }) => [name, id]));
  return { context: own, kept, journal, edge: readEdgeFiles(nginx), images, migrations: [], backup: null };
}

/** Its gateways would have addresses that the network of today does not. */
async function refuseOtherNetwork(context: Context, revision: string): Promise<void> {
  const findings = judgeSubnet(context, await listSubnets());
  if (findings.length === 0) return;
  const message = `${revision} was deployed with another network; nothing was changed`;
  throw new Failure(EXIT.preflight, message, findings.map(lineOf));
}

/** What a later release has added does not disturb an earlier one; what it took away does. */
async function refuseUnknownSchema(context: Context, revision: string): Promise<void> {
  const { migrations } = await migrationsStatus(context);
  const taken = migrations.filter(({ state, kind }) => state === 'unknown' && kind === 'contract');
  if (taken.length === 0) return;
  throw new Failure(EXIT.preflight, `${revision} cannot run on the schema of today; nothing was changed`, [
    ...taken.map(({ unit, name }) => `${unit}/${name} took away what it may need`),
    'Restore a backup of before (make backups, make restore), or mend the newer release.',
  ]);
}
