import { hostname } from 'node:os';
import type { Command, Context, Variables } from '../context.ts';
import { outdatedServices } from '../deploy/infrastructure.ts';
import { otherOf } from '../deploy/recover-rules.ts';
import { coloursOf, prepareRelease, releaseContext } from '../deploy/release.ts';
import { servicesOf } from '../places.ts';
import { lineOf } from '../preflight/findings.ts';
import { appliedMigrations, type MigrationFile, migrationsIn, pendingIn } from '../preflight/migrations.ts';
import { findAll, overrule } from '../preflight/preflight.ts';
import { CHECKOUT, shortRevision } from '../project.ts';
import { seconds } from '../report.ts';
import { type Live, readHistory, readJournal, readLive } from '../state.ts';

/** `make deploy-plan`, and `make deploy PLAN=1`: what would be done. Nothing is but laying out the release's folder. */
export const command: Command = async (context, variables) => {
  const { report, environment, project, places } = context;
  const revision = await shortRevision(CHECKOUT, variables.revision);
  const live = readLive(places);
  const colour = live ? otherOf(live.colour) : 'blue';
  const kept = await prepareRelease(context, revision);
  const target = releaseContext(context, kept, coloursOf({ revision, colour }, live?.revision));
  const pending = await pendingMigrations(target);
  const outdated = live ? await outdatedServices(target, ['postgres', 'redis', 'nginx']) : [];
  const findings = overrule(await findAll(target, { revision, contract: variables.contract }), variables.force);
  const journal = readJournal(places);
  const data = {
    host: hostname(),
    environment,
    project,
    from: live?.revision ?? null,
    to: revision,
    colour,
    migrations: pending.map(({ unit, name, kind }) => ({ migration: `${unit}/${name}`, kind })),
    starts: servicesOf(colour),
    stops: live ? servicesOf(live.colour) : [],
    outdated,
    risk: riskOf(pending, live),
    findings,
  };
  report.show('plan', data, [
    `${environment} on ${hostname()} (${project})`,
    `  from        ${live ? `${live.revision} (${live.colour})` : 'nothing: a first installation'}`,
    `  to          ${revision} (${colour})${live?.revision === revision ? ', the same again' : ''}`,
    `  migrations  ${pending.length === 0 ? 'none' : pending.length}`,
    ...(live ? pending : []).map(({ unit, name, kind }) => `    ${kind.padEnd(8)}  ${unit}/${name}`),
    `  starts      ${servicesOf(colour).join(', ')}`,
    `  stops       ${live ? `${servicesOf(live.colour).join(', ')}, when the new ones have proven themselves` : 'nothing'}`,
    `  kept as is  ${outdated.length > 0 ? `${outdated.join(', ')}, which this release has differently (RECREATE=)` : 'postgres, redis, nginx'}`,
    `  risk        ${data.risk}`,
    `  takes       ${estimate(context)}`,
    ...(journal
      ? [`  first       the ${journal.command} of ${journal.revision}, which was killed, is cleared up`]
      : []),
    ...steps(live, variables, target).map((step, index) => `  ${String(index + 1).padStart(2)}. ${step}`),
    ...(findings.length > 0
      ? ['', 'In the way, or to be known:', ...findings.map((one) => `  ${one.level}  ${lineOf(one)}`)]
      : []),
  ]);
};

async function pendingMigrations({ compose }: Context): Promise<MigrationFile[]> {
  const [postgres] = (await compose.containers(['postgres'])).filter(({ state }) => state === 'running');
  const applied = postgres ? await appliedMigrations(postgres.id) : new Set<string>();
  return pendingIn(migrationsIn(compose.options.source), applied);
}

function riskOf(pending: readonly MigrationFile[], live: Live | null): string {
  if (!live) return 'none: nobody uses it yet';
  if (pending.some(({ kind }) => kind === 'contract')) return 'high: a contraction cannot be taken back by a rollback';
  return pending.length > 0 ? 'medium: the schema grows, and stays so after a rollback' : 'low: processes alone';
}

/** As long as the last one that went well took. */
function estimate({ places }: Context): string {
  const last = readHistory(places).findLast(({ result, command: verb }) => result === 'succeeded' && verb === 'deploy');
  return last
    ? `about ${seconds(Date.parse(last.ended_at) - Date.parse(last.started_at))}, as the last one`
    : 'not known yet';
}

function steps(live: Live | null, { contract }: Variables, { settings }: Context): string[] {
  return [
    'build the images',
    live ? 'back up, restore the backup into a scratch database, compare' : 'start postgres, redis and nginx',
    contract ? 'migrate, contractions too' : 'migrate (expansions)',
    'start the processes, wait until they are ready, use them as a client would',
    'switch nginx over with one reload',
    `watch for ${settings['BAKE_SECONDS']} s, and go back when anything worsens`,
    'make the security checks, write the record, stop the old processes',
  ];
}
