import type { Container } from '../compose.ts';
import { COLOURED, servicesOf } from '../places.ts';
import type { Live } from '../state.ts';
import { error, type Finding } from './findings.ts';

/** What is wrong with a container that should serve; undefined when nothing is. */
export function ailment({ state, health, exitCode }: Container): string | undefined {
  if (state !== 'running') return state === 'exited' ? `ended with ${exitCode}` : `is ${state}`;
  return health && health !== 'healthy' ? `is ${health}` : undefined;
}

/** A release that ails already would be blamed on the next one, and is nothing to go back to. */
export function judgeRelease(live: Live | null, containers: readonly Container[]): Finding[] {
  if (!live) return [];
  const ailing: string[] = [];
  for (const service of servicesOf(live.colour)) {
    const its = containers.filter((container) => container.service === service);
    if (its.length === 0) ailing.push(`${service} is missing`);
    for (const container of its) {
      const what = ailment(container);
      if (what) ailing.push(`${service} ${what}`);
    }
  }
  if (ailing.length === 0) return [];
  const all = ailing.length >= COLOURED.length ? ' (the host has been stopped?)' : '';
  const what = `the release that is live is not healthy: ${ailing.join(', ')}${all}`;
  return [
    { ...error('release', what, 'See make doctor; FORCE=reason when this deploy is the repair'), forcible: true },
  ];
}
