import { readRepository } from '../backup/database.ts';
import { readRecords } from '../backup/records.ts';
import type { Command } from '../context.ts';

/** `make backups`: what there is in both places, and from when on a point in time can be restored. */
export const command: Command = async (context) => {
  const { report, places } = context;
  const { backups, problems } = await readRepository(context);
  const verified = new Set(readRecords(places).flatMap(({ id, verified: proven }) => (proven ? [id] : [])));
  const lines = backups.map(({ label, type, place, endedAt, bytes, storedBytes, damaged }) => {
    const state = damaged ? 'DAMAGED' : verified.has(label) ? 'verified' : '';
    const size = `${megabytes(bytes)} (stored: ${megabytes(storedBytes)})`;
    return `place ${place}  ${label.padEnd(33)}  ${type}  ${endedAt.toISOString()}  ${size.padEnd(26)}  ${state}`.trimEnd();
  });
  for (const place of [1, 2]) {
    const first = backups.find((backup) => backup.place === place);
    const range = first ? `any moment since ${first.endedAt.toISOString()}` : 'nothing yet';
    lines.push(`place ${place} restores ${range}${problems[place] ? `; it says: ${problems[place]}` : ''}`);
  }
  report.show(
    'backups',
    { backups: backups.map((one) => ({ ...one, verified: verified.has(one.label) })), problems },
    lines,
  );
};

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
