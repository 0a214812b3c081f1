import { expect } from '@jest/globals';
import type { Staff } from './people.ts';
import type { Outcome, Site } from './site.ts';
import { tail } from './site.ts';
import type { Tally } from './traffic.ts';
import type { CountingUpstream } from './upstream.ts';

/** Shows what the command said when its code is another. */
export function expectCode(outcome: Outcome, code: number): void {
  if (outcome.code !== code)
    throw new Error(`exit ${outcome.code} in place of ${code} after ${outcome.ms} ms:\n${tail(outcome.output, 60)}`);
}

/** Nothing failed, and every effect that was acknowledged is there exactly once. */
export async function expectUnharmed(site: Site, upstream: CountingUpstream, tally: Tally): Promise<void> {
  // At once: a report at the end of an hour helps nobody.
  if (tally.failed.length > 0)
    figures('FAILED', { first: JSON.stringify(tally.failed.slice(0, 3)), ...figuresOf(tally) });
  expect(tally.failed.slice(0, 10)).toEqual([]);
  await expectLedger(site, upstream, tally);
}

/** What was acknowledged happened once; what was not may have happened, once. */
export async function expectLedger(site: Site, upstream: CountingUpstream, tally: Tally): Promise<void> {
  const rows = await site.sql(`select o.slug from org.organizations o where o.slug like 'ledger-%' order by o.slug`);
  const there = new Set(rows);
  expect(rows.length).toBe(there.size);
  expect(tally.organizations.filter((name) => !there.has(name))).toEqual([]);
  expect(tally.entries.filter((name) => upstream.seen.get(name) !== 1)).toEqual([]);
  expect([...upstream.seen.values()].filter((times) => times !== 1)).toEqual([]);
  expect(tally.organizations.length).toBeGreaterThan(20);
  expect(tally.entries.length).toBeGreaterThan(20);
}

/** One colour runs, all of it healthy; the other is stopped or gone; nothing is left over. */
export async function expectSettled(site: Site, revision?: string): Promise<void> {
  const { colour, revision: live } = site.live();
  if (revision) expect(live).toBe(revision);
  const containers = await site.containers();
  const running = containers.filter((line) => line.endsWith(' running')).map((line) => line.split(' ')[0] ?? '');
  const other = colour === 'blue' ? 'green' : 'blue';
  expect(running.filter((name) => name.endsWith(`-${other}`))).toEqual([]);
  expect(running.filter((name) => name.endsWith(`-${colour}`)).sort()).toEqual(
    ['audit', 'auth', 'gateway-1', 'gateway-2', 'org', 'worker', 'worker'].map((name) => `${name}-${colour}`).sort(),
  );
  const scratch = await site.docker('ps', '-aq', '--filter', `label=gatehouse.scratch=${site.project}`);
  expect(scratch.trim()).toBe('');
  const jobs = containers.filter((line) => line.startsWith('job ') || line.startsWith('migrate '));
  expect(jobs.filter((line) => line.endsWith(' running'))).toEqual([]);
}

/** Somebody who signed in before still is, and somebody can sign in. */
export async function expectServing(staff: Staff): Promise<void> {
  const me = await staff.admin.get('/api/auth/me');
  expect([me.status, me.text.slice(0, 200)]).toEqual([200, expect.any(String)]);
  const login = await staff.visitor.post('/api/auth/login', { email: staff.email, password: staff.password });
  expect([login.status, login.text.slice(0, 200)]).toEqual([200, expect.any(String)]);
}

/** A line of figures for who reads along, and for docs/deployment.md. */
export function figures(title: string, values: Record<string, unknown>): void {
  process.stdout.write(
    `  ${title}: ${Object.entries(values)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')}\n`,
  );
}

export function figuresOf(tally: Tally): Record<string, unknown> {
  const { requests, posts, connections, failed, slowestMs } = tally;
  return { requests, posts, connections, failed: failed.length, slowest_ms: slowestMs };
}
