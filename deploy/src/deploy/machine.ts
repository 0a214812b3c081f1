import { hostname } from 'node:os';
import { backupAndVerify } from '../backup/verified-backup.ts';
import { checkConfiguration, renderEdge } from '../configuration.ts';
import type { Context, Variables } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { buildImages } from '../images.ts';
import { databaseIsEmpty, migrateDatabase } from '../migrations/migrate-database.ts';
import { preflight } from '../preflight/preflight.ts';
import { CHECKOUT, shortRevision } from '../project.ts';
import { checkSecrets } from '../secrets/check.ts';
import { type Release, readLive, writeJournal } from '../state.ts';
import { announceStart } from './announce.ts';
import { bakeSecondsOf } from './bake.ts';
import { beginJournal, type Deployment } from './deployment.ts';
import { readEdgeFiles } from './edge.ts';
import { startInfrastructure } from './infrastructure.ts';
import { ending, prove } from './prove.ts';
import { recover } from './recover.ts';
import { otherOf } from './recover-rules.ts';
import { coloursOf, prepareRelease, releaseContext } from './release.ts';
import { stage } from './stages.ts';
import { locked } from './under-lock.ts';

/** The whole of `make deploy`. Until the stage `start` nothing that users reach is touched. */
export async function deploy(context: Context, variables: Variables): Promise<void> {
  const { report } = context;
  const revision = await shortRevision(CHECKOUT, variables.revision);
  banner(context, revision);
  await locked(context, { command: 'deploy', revision }, variables, async () => {
    await stage(report, 'recover', (detail) => recover(context, detail));
    const deployment = await stage(report, 'preflight', () => begin(context, variables, revision));
    await ending(deployment, async () => {
      await announceStart(deployment.context, deployment.journal);
      await prepare(deployment, variables);
      await prove(deployment, { bakeSeconds: bakeSecondsOf(deployment.context.settings), checks: true });
    });
    tellServing(deployment);
  });
}

/** Where it is to be found, and after a first installation what nobody has done yet. */
function tellServing({ context, journal }: Deployment): void {
  const { report, settings, environment } = context;
  const { revision, colour, from } = journal;
  const url = settings['PUBLIC_URL'] ?? '';
  const first = `Next, the first organization and its admin: make secrets ENV=${environment} says how.`;
  report.show('serving', { revision, colour, url }, [
    `${revision} (${colour}) serves ${url}`,
    ...(from ? [] : [first]),
  ]);
}

/** Looks without impact, and lays out the release's folder. */
async function begin(context: Context, variables: Variables, revision: string): Promise<Deployment> {
  const live = readLive(context.places);
  const from: Release | null = live && { revision: live.revision, colour: live.colour };
  const next: Release = { revision, colour: live ? otherOf(live.colour) : 'blue' };
  const kept = await prepareRelease(context, revision);
  const own = releaseContext(context, kept, coloursOf(next, from?.revision));
  bakeSecondsOf(own.settings);
  await preflight(own, { revision, contract: variables.contract, force: variables.force });
  const journal = beginJournal('deploy', next, from);
  writeJournal(context.places, journal);
  return { context: own, kept, journal, edge: {}, images: {}, migrations: [], backup: null };
}

/** Everything up to the first process of the release. */
async function prepare(deployment: Deployment, variables: Variables): Promise<void> {
  const { context, kept, journal } = deployment;
  const { report, places } = context;
  await stage(report, 'build', async () => {
    const built = await buildImages(context, { revision: kept.revision, source: kept.source });
    deployment.images = Object.fromEntries(built.map(({ name, id }) => [name, id]));
  });
  await stage(report, 'configuration', async () => {
    const mistakes = checkSecrets(context);
    if (mistakes.length > 0)
      throw new Failure(EXIT.secrets, 'The settings or secrets are wrong', [
        ...mistakes,
        ...(await checkConfiguration(context)),
      ]);
    // Into the release's folder: nginx itself gets the files at the switch, and keeps its own when there is none.
    await renderEdge({ ...context, places: { ...places, nginx: kept.edge } }, journal.colour);
    if (!journal.from) await renderEdge(context, journal.colour);
    deployment.edge = readEdgeFiles(kept.edge);
  });
  await stage(report, 'infrastructure', async (detail) => {
    const { started, outdated } = await startInfrastructure(context, names(variables.recreate), !journal.from);
    if (started.length > 0) detail(`started ${started.join(', ')}`);
    for (const name of outdated)
      report.warn(
        `${name} runs as an earlier release had it; RECREATE=${name} starts it anew, with a pause for users.`,
      );
  });
  await stage(report, 'backup', async (detail) => {
    if (!journal.from && (await databaseIsEmpty(context))) return detail('skipped: the database is empty');
    const { id, rows, verified } = await backupAndVerify(context, 'deploy');
    deployment.backup = id;
    detail(verified ? `${id}: ${rows} rows restored and compared` : `${id}, not restored`);
  });
  await stage(report, 'migrate', async (detail) => {
    deployment.migrations = await migrateDatabase(context, { contract: variables.contract });
    detail(`${deployment.migrations.length} applied`);
  });
}

const names = (text: string) => text.split(/[\s,]+/).filter(Boolean);

function banner({ report, environment, project, places }: Context, revision: string): void {
  const live = readLive(places);
  const from = live ? `${live.revision} (${live.colour})` : 'nothing';
  const data = { host: hostname(), environment, project, from: live?.revision ?? null, to: revision };
  report.show('deploy', data, [`${environment} on ${hostname()} (${project}): from ${from} to ${revision}`]);
}
