import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { writeMetrics } from '../backup/records.ts';
import { EXIT, type Failure } from '../failure.ts';
import type { Places } from '../places.ts';
import { appendHistory, type HistoryLine, type Journal, readHistory } from '../state.ts';
import type { Deployment } from './deployment.ts';

/** Writes down how a deploy or rollback ended, and publishes it. */
export function recordEnd(deployment: Deployment, failure?: Failure): HistoryLine {
  const { context, kept, images, migrations, backup, journal } = deployment;
  const result = !failure ? 'succeeded' : failure.code === EXIT.rolledBack ? 'rolled_back' : 'failed';
  const line: HistoryLine = {
    ...outline(journal, context.environment),
    images,
    config_hash: hashOf(kept.settingsFile),
    migrations,
    backup,
    steps: context.report.steps,
    result,
    exit: failure?.code ?? EXIT.ok,
    reason: failure?.message ?? null,
  };
  append(context.places, line);
  return line;
}

/** Writes down what became of a run that was killed. */
export function recordKilled(places: Places, environment: string, journal: Journal, adopted: boolean): HistoryLine {
  const line: HistoryLine = {
    ...outline(journal, environment),
    ...{ images: {}, config_hash: '', migrations: [], backup: null, steps: [] },
    result: adopted ? 'succeeded' : 'failed',
    exit: adopted ? EXIT.ok : EXIT.bug,
    reason: `The deployer was killed while it was ${WORDS[journal.stage]}${adopted ? '; the next command finished it' : ''}`,
  };
  append(places, line);
  return line;
}

const WORDS: Record<Journal['stage'], string> = {
  preparing: 'preparing',
  started: 'starting the release',
  switched: 'watching the release',
  finishing: 'finishing',
};

/** Who typed the command, also behind sudo. */
export const actor = () => process.env['SUDO_USER'] ?? userInfo().username;

function outline({ id, command, from, revision, colour, started_at }: Journal, environment: string) {
  return {
    ...{ id, command, environment, from: from?.revision ?? null, to: revision, colour, started_at },
    actor: actor(),
    host: hostname(),
    ended_at: new Date().toISOString(),
  };
}

function append(places: Places, line: HistoryLine): void {
  appendHistory(places, line);
  const history = readHistory(places);
  const last = history.findLast(({ result, command }) => result === 'succeeded' && command === 'deploy');
  const seconds = (Date.parse(line.ended_at) - Date.parse(line.started_at)) / 1000;
  const results = ['succeeded', 'failed', 'rolled_back'];
  writeMetrics(places, 'deploy.prom', {
    deploy_last_success_timestamp_seconds: {
      help: 'When a deploy last succeeded.',
      samples: last ? { '': Math.round(Date.parse(last.ended_at) / 1000) } : {},
    },
    deploy_duration_seconds: { help: 'How long the last deploy or rollback took.', samples: { '': seconds } },
    deploy_result: {
      help: 'How the last deploy or rollback ended.',
      samples: Object.fromEntries(
        results.map((result) => [`{result="${result}"}`, result === line.result ? 1 : 0] as const),
      ),
    },
  });
}

function hashOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 12);
}
