import { existsSync } from 'node:fs';
import { run } from '../command.ts';
import { error, type Finding, warning } from './findings.ts';

const OFFSET_SECONDS = 0.05;
const TIMESYNCD = '/run/systemd/timesync';

/** One-time codes, tokens and the audit log are only as right as the clock. Asks who keeps it, where somebody does. */
export async function checkClock(): Promise<Finding[]> {
  const chrony = await run('chronyc', ['-c', '-n', 'tracking'], { timeoutMs: 3_000 });
  if (chrony.code === 0) return judgeChrony(chrony.stdout);
  if (existsSync(TIMESYNCD) && !existsSync(`${TIMESYNCD}/synchronized`))
    return [warning('clock', 'systemd-timesyncd has not set the clock yet', 'See timedatectl timesync-status')];
  return [];
}

/** Its comma separated fields: the fifth is the offset in seconds, the last is whether it follows somebody. */
export function judgeChrony(text: string): Finding[] {
  const fields = text.trim().split(',');
  if (fields.at(-1) === 'Not synchronised')
    return [warning('clock', 'chrony follows no server', 'See chronyc sources')];
  const offset = Number(fields[4]);
  if (Math.abs(offset) < OFFSET_SECONDS) return [];
  return [error('clock', `the clock is off by ${offset} s`, 'See chronyc tracking; chronyc makestep sets it')];
}
