import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { CHECKOUT } from '../project.ts';
import { checkSecrets } from '../secrets/check.ts';
import { type Live, readLive } from '../state.ts';
import { judgeCertificate } from './certificate.ts';
import { checkClock } from './clock.ts';
import { checkDisk } from './disk.ts';
import { judgeEngine, judgeResources, readEngine } from './engine.ts';
import { error, type Finding, lineOf } from './findings.ts';
import { appliedMigrations, judgeMigrations, migrationsIn, pendingIn } from './migrations.ts';
import { judgeSubnet, listSubnets } from './network.ts';
import { judgePorts, ownPorts } from './ports.ts';
import { connectionBudget, judgeBudget, judgeMount, readServer, unreachable } from './postgres.ts';
import { judgeRelease } from './release-health.ts';
import { renderCompose } from './rendered.ts';
import { judgeRevision } from './revision.ts';

export interface Target {
  /** What is to be deployed; the context is that of its source and its settings. */
  revision: string;
  contract?: boolean;
  /** Why what can be overruled is: FORCE. */
  force?: string;
}

/**
 * Looks for everything that would stop a deploy, changes nothing, and throws one Failure that names it all: with the
 * code for secrets when nothing else is wrong.
 */
export async function preflight(context: Context, target: Target): Promise<void> {
  const findings = overrule(await findAll(context, target), target.force ?? '');
  for (const finding of findings) if (finding.level === 'warning') context.report.warn(lineOf(finding));
  const stopping = findings.filter(({ level }) => level !== 'warning');
  if (stopping.length === 0) return;
  const onlySecrets = stopping.every(({ level }) => level === 'secret');
  const things = stopping.length === 1 ? 'One thing is' : `${stopping.length} things are`;
  const message = `${things} not ready for a deploy; nothing was changed`;
  throw new Failure(onlySecrets ? EXIT.secrets : EXIT.preflight, message, stopping.map(lineOf));
}

/** What can be overruled becomes a warning that carries the reason, which the record of the deploy keeps. */
export function overrule(findings: readonly Finding[], force: string): Finding[] {
  if (!force) return [...findings];
  const reason = force === '1' ? 'FORCE, without a reason' : `FORCE: ${force}`;
  return findings.map((finding) =>
    finding.forcible && finding.level === 'error'
      ? { ...finding, level: 'warning', remedy: `Overruled by ${reason}` }
      : finding,
  );
}

/** Everything that is wrong, in the order of the checks. */
export async function findAll(context: Context, { revision, contract = false }: Target): Promise<Finding[]> {
  const { places, settings } = context;
  const live = readLive(places);
  const checks: Record<string, () => Finding[] | Promise<Finding[]>> = {
    revision: () => judgeRevision(CHECKOUT, revision),
    certificate: () => judgeCertificate(places.tls, settings['SERVER_NAME'] ?? ''),
    secrets: () =>
      checkSecrets(context).map((what) => ({ level: 'secret', topic: 'secrets', what, remedy: 'See make secrets' })),
    clock: () => checkClock(),
    engine: () => checkEngine(context, live, contract),
  };
  const found = await Promise.all(Object.entries(checks).map(([topic, check]) => guarded(topic, check)));
  return found.flat();
}

async function checkEngine(context: Context, live: Live | null, contract: boolean): Promise<Finding[]> {
  const engine = await readEngine();
  const findings = judgeEngine(engine);
  if (!engine) return findings;
  const rest = await Promise.all([
    guarded('disk', () => checkDisk(context, engine.root)),
    guarded('ports', async () => judgePorts(context.settings, await ownPorts(context))),
    guarded('network', async () => judgeSubnet(context, await listSubnets())),
    guarded('release', async () => judgeRelease(live, await context.compose.containers())),
    guarded('compose file', async () => {
      const rendered = await renderCompose(context.compose);
      const without = (context.settings['DEPLOY_WITHOUT'] ?? '').split(/\s+/).filter(Boolean);
      const database = await guarded('database', () => checkDatabase(context, rendered, contract));
      return [...judgeResources(engine, rendered, without), ...database];
    }),
  ]);
  return [...findings, ...rest.flat()];
}

async function checkDatabase(
  { compose, settings }: Context,
  rendered: Awaited<ReturnType<typeof renderCompose>>,
  contract: boolean,
): Promise<Finding[]> {
  const { source } = compose.options;
  const containers = await compose.containers(['postgres', 'redis']);
  const down = containers.filter(({ state }) => state !== 'running').map(({ service }) => unreachable(service));
  const postgres = containers.find(({ service, state }) => service === 'postgres' && state === 'running');
  const server = postgres && (await readServer(postgres.id));
  const applied = postgres ? await appliedMigrations(postgres.id) : new Set<string>();
  return [
    ...down,
    ...judgeMount(source, rendered, server?.major),
    ...judgeBudget(connectionBudget(rendered, settings, server?.max)),
    ...judgeMigrations(pendingIn(migrationsIn(source), applied), applied.size === 0, contract),
  ];
}

/** A check that cannot be made is a finding as well, and keeps no other from being made. */
async function guarded(topic: string, check: () => Finding[] | Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await check();
  } catch (cause) {
    return [error(topic, `could not be checked: ${(cause as Error).message}`, 'Repair what it says')];
  }
}
