// What happens to a host that nobody deploys to: processes killed, restarted, dependencies and the engine itself lost.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  expectCode,
  expectLedger,
  expectServing,
  expectSettled,
  expectUnharmed,
  figures,
  figuresOf,
} from './testing/expectations.ts';
import { type Installed, install } from './testing/installed.ts';
import { signIn } from './testing/people.ts';
import { nextVersion } from './testing/releases.ts';
import { startTraffic } from './testing/traffic.ts';

const MINUTE = 60_000;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
let place: Installed;
beforeAll(async () => {
  place = await install({ name: 'disturbed', number: 4 });
}, 10 * MINUTE);
afterAll(() => place?.remove(), 2 * MINUTE);

async function idsOf(service: string): Promise<string[]> {
  const { site } = place;
  const labels = [`label=com.docker.compose.project=${site.project}`, `label=com.docker.compose.service=${service}`];
  const ids = await site.docker('ps', '-aq', ...labels.flatMap((label) => ['--filter', label]));
  return ids.split('\n').filter(Boolean);
}

/** Milliseconds until everything that has a check is healthy and clients are served. */
async function untilServing(limitMs = MINUTE): Promise<number> {
  const { site, staff } = place;
  const start = performance.now();
  let last = '';
  while (performance.now() - start < limitMs) {
    const ids = (await site.docker('ps', '-q', '--filter', `label=com.docker.compose.project=${site.project}`)).split(
      '\n',
    );
    const states = JSON.parse(await site.docker('inspect', ...ids.filter(Boolean))) as {
      Name: string;
      State: { Status: string; Health?: { Status: string } };
    }[];
    const bad = states.filter(
      ({ State }) => State.Status !== 'running' || (State.Health && State.Health.Status !== 'healthy'),
    );
    const me = await staff.admin.get('/api/auth/me').catch((error: Error) => ({ status: error.message }));
    const up = await staff.visitor
      .get('/api/proxy/example/x', { 'x-api-key': staff.key })
      .catch((error: Error) => ({ status: error.message }));
    if (bad.length === 0 && me.status === 200 && up.status === 200) return performance.now() - start;
    last = `${bad.map(({ Name, State }) => `${Name} ${State.Status} ${State.Health?.Status}`).join(', ')}; me ${me.status}, upstream ${up.status}`;
    await pause(250);
  }
  throw new Error(`not healthy after ${limitMs} ms: ${last}`);
}

test(
  'a gateway that is killed costs only what it was about to answer',
  async () => {
    const { site, upstream, staff } = place;
    const { colour } = site.live();
    const traffic = await startTraffic(site, staff);
    await pause(2_000);
    const [id = ''] = await idsOf(`gateway-1-${colour}`);
    const at = traffic.tally.requests;
    await site.docker('kill', id);
    await pause(6_000);
    await site.docker('start', id);
    await pause(6_000);
    const tally = await traffic.stop();
    // 32 clients, one request each at a time, half of the gateways: no more than that can have been on their way.
    expect(tally.failed.length).toBeLessThanOrEqual(16);
    const times = tally.failed.map((failed) => failed.at + failed.ms);
    if (times.length > 0) expect(Math.max(...times) - Math.min(...times)).toBeLessThan(1_000);
    expect(tally.failed.filter(({ status }) => status !== 502)).toEqual([]);
    await expectLedger(site, upstream, tally);
    figures('docker kill of a gateway', { after_requests: at, ...figuresOf(tally) });
  },
  2 * MINUTE,
);

test(
  'every process is restarted one by one without a failed request',
  async () => {
    const { site, upstream, staff } = place;
    const traffic = await startTraffic(site, staff);
    const restart = await site.make('restart');
    const tally = await traffic.stop();
    expectCode(restart, 0);
    await expectUnharmed(site, upstream, tally);
    await expectSettled(site);
    figures('rolling restart', { seconds: Math.round(restart.ms / 1000), ...figuresOf(tally) });
  },
  6 * MINUTE,
);

test(
  'a new certificate is taken without a failed request',
  async () => {
    const { site, upstream, staff } = place;
    const traffic = await startTraffic(site, staff);
    await pause(1_000);
    await site.renewCertificate();
    const renewal = await site.make('renew-certificate');
    await pause(1_000);
    const tally = await traffic.stop();
    expectCode(renewal, 0);
    await expectUnharmed(site, upstream, tally);
    figures('new certificate', { seconds: Math.round(renewal.ms / 1000), ...figuresOf(tally) });
  },
  2 * MINUTE,
);

test.each([
  ['Postgres is restarted', 'postgres', 'restart'],
  ['Postgres is killed', 'postgres', 'kill'],
  ['Redis is restarted', 'redis', 'restart'],
  ['Redis is killed, and comes back with its volume', 'redis', 'kill'],
])(
  '%s: healthy again without hands, and nothing acknowledged is lost',
  async (title, service, how) => {
    const { site, upstream, staff } = place;
    const traffic = await startTraffic(site, staff);
    await pause(2_000);
    const [id = ''] = await idsOf(service);
    // As a crash: the engine restarts what ended by itself, and leaves alone what was asked to end.
    if (how === 'kill')
      await site
        .docker('exec', '-u', '0', id, 'sh', '-c', 'kill -9 1')
        .catch(() => site.docker('kill', id).then(() => site.docker('start', id)));
    else await site.docker('restart', id);
    const ms = await untilServing();
    await pause(2_000);
    const tally = await traffic.stop();
    await expectLedger(site, upstream, tally);
    await expectServing(staff);
    figures(title, { healthy_after_ms: Math.round(ms), ...figuresOf(tally) });
  },
  3 * MINUTE,
);

test(
  'F48: everything stopped and started in a random order, again and again',
  async () => {
    const { site, staff } = place;
    const times: number[] = [];
    const rounds = Number(process.env['ORDERS'] ?? 20);
    const services = (await site.containers())
      .filter((line) => line.endsWith(' running'))
      .map((line) => line.split(' ')[0] ?? '');
    const ids = (await Promise.all([...new Set(services)].map(idsOf))).flat();
    const running = new Set((await site.docker('ps', '-q', '--no-trunc')).split('\n').map((id) => id.slice(0, 12)));
    const ours = ids.filter((id) => running.has(id.slice(0, 12)));
    for (let round = 0; round < rounds; round++) {
      await site.docker('kill', ...ours);
      const order = ours.map((id) => [Math.random(), id] as const).sort(([a], [b]) => a - b);
      for (const [, id] of order) await site.docker('start', id);
      times.push(Math.round(await untilServing()));
    }
    await expectServing(staff);
    expect(times).toHaveLength(rounds);
    figures('F48', { rounds, slowest_ms: Math.max(...times), fastest_ms: Math.min(...times) });
  },
  30 * MINUTE,
);

// Ends every container of the machine's engine, so only where whoever runs the tests says how.
const restartEngine = process.env['ENGINE_RESTART'];
(restartEngine ? test : test.skip)(
  'the engine itself is restarted',
  async () => {
    const { site, staff } = place;
    const { status } = spawnSync('sh', ['-c', restartEngine ?? ''], { stdio: 'inherit' });
    expect(status).toBe(0);
    const ms = await untilServing();
    await expectServing(staff);
    await expectSettled(site);
    figures('engine restarted', { healthy_after_ms: Math.round(ms) });
  },
  4 * MINUTE,
);

test(
  'F11: the release before and the next one serve side by side, and go back',
  async () => {
    const { site, upstream, staff } = place;
    const { revision } = site.live();
    await nextVersion(site, '2.0.0');
    const seconds = Number(process.env['TOGETHER_SECONDS'] ?? 60);
    const settings = readFileSync(site.places.overrides, 'utf8');
    writeFileSync(site.places.overrides, settings.replace(/^BAKE_SECONDS=.*$/m, `BAKE_SECONDS=${seconds}`));
    const traffic = await startTraffic(site, staff);
    // During the bake both colours run: workers of both take jobs, and both read the same rows and cached facts.
    const deploy = await site.make('deploy');
    writeFileSync(site.places.overrides, settings);
    const rollback = await site.make('rollback');
    const tally = await traffic.stop();
    expectCode(deploy, 0);
    expectCode(rollback, 0);
    await expectUnharmed(site, upstream, tally);
    await expectSettled(site, revision);
    // What the newer one wrote is read by the older one: tokens it issued, sessions it opened, keys it made.
    place.staff = await signIn(site, staff.orgId);
    await expectServing(place.staff);
    figures('F11', { together_seconds: seconds, ...figuresOf(tally) });
  },
  20 * MINUTE,
);
