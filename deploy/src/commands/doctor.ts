import { existsSync, readdirSync } from 'node:fs';
import type { Command, Context } from '../context.ts';
import { namedColour } from '../deploy/edge.ts';
import { outdatedServices } from '../deploy/infrastructure.ts';
import { isInMaintenance } from '../deploy/maintenance.ts';
import { EXIT, Failure } from '../failure.ts';
import { describeHolder, lockHolder } from '../lock.ts';
import { error, type Finding, lineOf, warning } from '../preflight/findings.ts';
import { findAll } from '../preflight/preflight.ts';
import { ailment } from '../preflight/release-health.ts';
import { CHECKOUT, shortRevision } from '../project.ts';
import { readJournal, readLive } from '../state.ts';

const KEPT_RELEASES = 8;

/** `make doctor`: everything that is wrong, and what to do. Ends with code 10 when something has to be done. */
export const command: Command = async (context) => {
  const { report, places } = context;
  const revision = readLive(places)?.revision ?? (await shortRevision(CHECKOUT, 'HEAD'));
  const findings = [
    ...(await findAll(context, { revision, contract: true })).filter(({ topic }) => topic !== 'revision'),
    ...judgeState(context),
    ...(await judgeContainers(context)),
  ];
  const marks = { error: '✗', secret: '✗', warning: '!' };
  const lines = findings.map((finding) => `${marks[finding.level]} ${lineOf(finding)}`);
  report.show('doctor', { findings }, lines.length > 0 ? lines : ['Nothing is wrong.']);
  const serious = findings.filter(({ level }) => level !== 'warning').length;
  if (serious > 0) throw new Failure(EXIT.preflight, `${serious} of ${findings.length} findings have to be repaired`);
};

/** What the files say of each other. */
export function judgeState({ places }: Pick<Context, 'places'>): Finding[] {
  const findings: Finding[] = [];
  const [live, journal, lock, named] = [readLive(places), readJournal(places), lockHolder(places), namedColour(places)];
  if (lock && !lock.alive)
    findings.push(warning('lock', `it was left by ${describeHolder(lock.holder)}`, 'The next command takes it over'));
  if (journal && !lock?.alive)
    findings.push(
      error(
        'state',
        `the ${journal.command} of ${journal.revision} was killed (${journal.stage})`,
        'Run make deploy: it clears up first',
      ),
    );
  else if (live && !lock?.alive && named !== live.colour)
    findings.push(
      error(
        'state',
        `nginx sends users to ${named ?? 'nothing'}, but ${live.colour} is live`,
        'Run make deploy: it sets that right',
      ),
    );
  if (isInMaintenance(places)) findings.push(warning('maintenance', 'everyone gets 503', 'make maintenance-off'));
  const kept = existsSync(places.releases) ? readdirSync(places.releases).length : 0;
  if (kept > KEPT_RELEASES)
    findings.push(
      warning('releases', `${kept} are kept in ${places.releases}`, 'A deploy that succeeds removes old ones'),
    );
  return findings;
}

/** Those of the live colour are judged with the release already. */
async function judgeContainers(context: Context): Promise<Finding[]> {
  const { compose, places } = context;
  const live = readLive(places);
  const idle = live?.colour === 'blue' ? '-green' : '-blue';
  const findings: Finding[] = [];
  const containers = await compose.containers();
  for (const container of containers) {
    const { service, restarts } = container;
    const uncoloured = !/-(blue|green)$/.test(service) && service !== 'migrate' && service !== 'job';
    const what = uncoloured && ailment(container);
    if (what) findings.push(error(service, `it ${what}`, `make logs S=${service}`));
    if (restarts > 3)
      findings.push(warning(service, `the engine restarted it ${restarts} times`, `make logs S=${service}`));
  }
  const both = containers.filter(({ service, state }) => service.endsWith(idle) && state === 'running');
  if (live && both.length > 0 && !lockHolder(places)?.alive)
    findings.push(warning('colours', `${both.length} processes of ${idle.slice(1)} run too`, 'make deploy stops them'));
  if (live)
    for (const name of await outdatedServices(context, ['postgres', 'redis', 'nginx']))
      findings.push(
        warning(
          name,
          'it runs as an earlier release had it',
          `make deploy RECREATE=${name} starts it anew, with a pause`,
        ),
      );
  return findings;
}
