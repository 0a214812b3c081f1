import { readRecords } from '../backup/records.ts';
import type { Command } from '../context.ts';
import { isInMaintenance } from '../deploy/maintenance.ts';
import { describeHolder, lockHolder } from '../lock.ts';
import { certificateDays } from '../preflight/certificate.ts';
import { readJournal, readLive } from '../state.ts';
import { age, table } from '../table.ts';

/** `make status`: what runs, how it is, which release. Changes nothing. */
export const command: Command = async ({ project, environment, places, compose, report }) => {
  const live = readLive(places);
  const lock = lockHolder(places);
  const journal = readJournal(places);
  const backup = readRecords(places).at(-1) ?? null;
  const days = certificateDays(places.tls) ?? null;
  const maintenance = isInMaintenance(places);
  const containers = (await compose.containers()).sort((a, b) => a.service.localeCompare(b.service));
  const data = {
    project,
    environment,
    live,
    maintenance,
    certificate_days: days,
    last_backup: backup && { id: backup.id, at: backup.at, verified: backup.verified },
    lock: lock && { ...lock.holder, alive: lock.alive },
    unfinished: journal,
    containers: containers.map(({ service, state, health, restarts, startedAt, image }) => {
      return { service, state, health, restarts, started_at: startedAt.toISOString(), image };
    }),
  };
  const rows = containers.map(({ service, state, health, restarts, startedAt, image }) => [
    service,
    state,
    // What a container said last before it was stopped says nothing of it.
    state === 'running' && health ? health : '-',
    `${restarts}`,
    state === 'running' ? age(startedAt) : '-',
    image,
  ]);
  const facts = [
    ['project', `${project} (${environment})${maintenance ? ', in maintenance: everyone gets 503' : ''}`],
    ['release', live ? `${live.revision}, ${live.colour}, live for ${age(new Date(live.since))}` : 'none is live'],
    ['before', live?.previous ? `${live.previous.revision}, ${live.previous.colour}` : '-'],
    ['certificate', days === null ? 'cannot be read' : `${days} days`],
    [
      'backup',
      backup
        ? `${backup.id}, ${age(new Date(backup.at))} ago${backup.verified ? ', verified' : ''}`
        : 'none by a deploy or make backup yet',
    ],
    ['lock', lock ? `${describeHolder(lock.holder)}${lock.alive ? '' : ' (gone)'}` : 'free'],
    ...(journal && !lock?.alive ? [['unfinished', `${journal.command} of ${journal.revision}, ${journal.stage}`]] : []),
  ];
  const heads = ['SERVICE', 'STATE', 'HEALTH', 'RESTARTS', 'UP', 'IMAGE'];
  report.show('status', data, [...table(facts), '', ...table([heads, ...rows])]);
};
