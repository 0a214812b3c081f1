import { must } from '../command.ts';
import type { Command } from '../context.ts';
import { loadRelease } from '../deploy/release.ts';
import { seconds } from '../report.ts';
import { readHistory, readLive } from '../state.ts';
import { table } from '../table.ts';

const NEEDED = ['auth', 'org', 'audit', 'worker', 'gateway', 'tools'];

/** `make releases`: what was deployed when, newest first, and what `make rollback TO=` can go back to. */
export const command: Command = async ({ places, report }) => {
  const live = readLive(places);
  const images = await listImages();
  const lines = readHistory(places).toReversed();
  const proven = new Set(lines.filter(({ result }) => result === 'succeeded').map(({ to }) => to));
  const standing = (revision: string) => {
    if (revision === live?.revision) return 'live';
    const kept =
      loadRelease(places, revision) !== undefined &&
      NEEDED.every((name) => images.has(`gatehouse/${name}:${revision}`));
    if (!proven.has(revision) || !kept) return '';
    return revision === live?.previous?.revision ? 'make rollback' : `make rollback TO=${revision}`;
  };
  const data = lines.map((line) => {
    const { command: verb, from, to, colour, started_at, ended_at, result, reason, migrations, backup } = line;
    const back = standing(to);
    return {
      command: verb,
      from,
      to,
      colour,
      started_at,
      ended_at,
      result,
      reason,
      migrations,
      backup,
      available: back !== '',
    };
  });
  const rows = lines.map((line) => [
    line.started_at.slice(0, 16).replace('T', ' '),
    line.command,
    line.to,
    line.colour,
    line.result,
    seconds(Date.parse(line.ended_at) - Date.parse(line.started_at)),
    standing(line.to),
    line.reason?.split('\n')[0]?.slice(0, 60) ?? '',
  ]);
  const heads = ['WHEN (UTC)', 'COMMAND', 'RELEASE', 'COLOUR', 'RESULT', 'TOOK', 'BACK WITH', 'REASON'];
  report.show(
    'releases',
    { releases: data },
    rows.length > 0 ? table([heads, ...rows]) : ['Nothing was deployed yet.'],
  );
};

async function listImages(): Promise<ReadonlySet<string>> {
  const format = '{{.Repository}}:{{.Tag}}';
  const list = await must('docker', ['images', '--format', format, '--filter', 'reference=gatehouse/*']);
  return new Set(list.split('\n').filter(Boolean));
}
