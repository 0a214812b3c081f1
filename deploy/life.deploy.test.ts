// What every change of the deployer must keep: install, release under load, notice a bad release, go back, restore.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { run } from './src/command.ts';
import {
  expectCode,
  expectLedger,
  expectServing,
  expectSettled,
  expectUnharmed,
  figures,
  figuresOf,
} from './testing/expectations.ts';
import { bootstrap, type Staff, signIn } from './testing/people.ts';
import { failsInUse, nextVersion } from './testing/releases.ts';
import { createSite, type Site } from './testing/site.ts';
import { startTraffic } from './testing/traffic.ts';
import { type CountingUpstream, startUpstream } from './testing/upstream.ts';

const MINUTE = 60_000;
let site: Site;
let upstream: CountingUpstream;
let staff: Staff;
let first: string;

beforeAll(async () => {
  site = await createSite({ name: 'life', number: 1 });
  upstream = await startUpstream(site.upstreamPort);
}, MINUTE);
afterAll(async () => {
  await upstream?.close();
  await site?.remove();
}, 2 * MINUTE);

test(
  'the first installation is the same command, after `make secrets`',
  async () => {
    const secrets = await site.make('secrets');
    expectCode(secrets, 0);
    const deploy = await site.make('deploy');
    expectCode(deploy, 0);
    first = site.live().revision;
    await expectSettled(site);
    staff = await bootstrap(site);
    await expectServing(staff);
    figures('first installation', { seconds: Math.round(deploy.ms / 1000) });
  },
  10 * MINUTE,
);

describe('what runs', () => {
  test('every container is healthy, and none but nginx is reachable from outside', async () => {
    const ids = (await site.docker('ps', '-q', '--filter', `label=com.docker.compose.project=${site.project}`)).split(
      '\n',
    );
    const inspected = JSON.parse(await site.docker('inspect', ...ids.filter(Boolean)));
    expect(inspected.length).toBeGreaterThan(9);
    for (const { Name, State, HostConfig } of inspected) {
      expect([Name, State.Health?.Status ?? 'none']).toEqual([Name, expect.stringMatching(/^(healthy|none)$/)]);
      const published = Object.keys(HostConfig.PortBindings ?? {}).length > 0;
      expect([Name, published]).toEqual([Name, Name.includes('nginx')]);
    }
  });

  test(
    'no secret is in an environment, in an argument, in an image or in a log',
    async () => {
      const names = [
        'JWT_SECRET',
        'PASSWORD_PEPPER',
        'MAIL_KEY',
        'REDIS_PASSWORD',
        'POSTGRES_PASSWORD',
        'AUTH_DATABASE_PASSWORD',
      ];
      const values = await Promise.all(
        [...names, 'BOOTSTRAP_SECRET', 'SYNTHETIC_PASSWORD'].map((name) => site.secret(name)),
      );
      const filter = `label=com.docker.compose.project=${site.project}`;
      const ids = (await site.docker('ps', '-aq', '--filter', filter)).split('\n').filter(Boolean);
      const seen = [await site.docker('inspect', ...ids)];
      for (const id of ids) {
        const { stdout, stderr } = await run('docker', ['logs', id]);
        seen.push(stdout, stderr);
        const top = await run('docker', ['top', id, '-o', 'pid,args']);
        seen.push(top.stdout);
      }
      for (const value of values) {
        expect(value.length).toBeGreaterThan(20);
        expect(seen.some((text) => text.includes(value))).toBe(false);
      }
    },
    MINUTE,
  );
});

test(
  'a release under load fails no request, and doubles or loses no effect',
  async () => {
    const revision = await nextVersion(site, '0.2.0');
    const traffic = await startTraffic(site, staff);
    const deploy = await site.make('deploy');
    const tally = await traffic.stop();
    expectCode(deploy, 0);
    await expectUnharmed(site, upstream, tally);
    await expectSettled(site, revision);
    expect((await staff.visitor.get<{ version: string }>('/')).body.version).toBe('0.2.0');
    figures('release under load', { seconds: Math.round(deploy.ms / 1000), ...figuresOf(tally) });
  },
  6 * MINUTE,
);

test(
  'a release that fails in use is taken back by itself',
  async () => {
    const { revision } = site.live();
    await failsInUse(site);
    const traffic = await startTraffic(site, staff);
    const deploy = await site.make('deploy');
    const failedUntil = Math.max(...traffic.tally.failed.map(({ at, ms }) => at + ms));
    const failedFrom = Math.min(...traffic.tally.failed.map(({ at }) => at));
    const before = traffic.tally.failed.length;
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const tally = await traffic.stop();
    expectCode(deploy, 70);
    // It was live for a moment, and clients saw it; nobody sees it any more.
    expect(before).toBeGreaterThan(0);
    expect(tally.failed.length).toBe(before);
    expect(tally.failed.filter(({ what, status }) => what !== 'GET me' || status !== 500)).toEqual([]);
    await expectLedger(site, upstream, tally);
    await expectSettled(site, revision);
    await expectServing(staff);
    figures('bad release', {
      seconds: Math.round(deploy.ms / 1000),
      failing_ms: failedUntil - failedFrom,
      ...figuresOf(tally),
    });
    await site.reset();
  },
  6 * MINUTE,
);

test(
  '`make rollback` goes back to the release before, without a failed request',
  async () => {
    const traffic = await startTraffic(site, staff);
    const rollback = await site.make('rollback');
    const tally = await traffic.stop();
    expectCode(rollback, 0);
    await expectUnharmed(site, upstream, tally);
    await expectSettled(site, first);
    figures('rollback', { seconds: Math.round(rollback.ms / 1000), ...figuresOf(tally) });
  },
  4 * MINUTE,
);

test(
  'a lost database comes back from the backup: every row, an intact chain, and people sign in',
  async () => {
    const backup = await site.make('backup');
    expectCode(backup, 0);
    const manifest = () => site.sql(`select o.id || o.slug from org.organizations o order by o.id`);
    const before = await manifest();
    const containers = await site.docker(
      'ps',
      '-aq',
      '--filter',
      `label=com.docker.compose.project=${site.project}`,
      '--filter',
      'label=com.docker.compose.service=postgres',
    );
    const backups = await site.docker(
      'ps',
      '-aq',
      '--filter',
      `label=com.docker.compose.project=${site.project}`,
      '--filter',
      'label=com.docker.compose.service=backup',
    );
    await site.docker('rm', '-f', ...containers.split('\n').filter(Boolean), ...backups.split('\n').filter(Boolean));
    await site.docker('volume', 'rm', `${site.project}_postgres-data`);

    const restore = await site.make('restore', { FROM: 'latest', CONFIRM: 'production' });
    expectCode(restore, 0);
    expect(await manifest()).toEqual(before);
    // Who held a session before a restore signs in again: what was revoked since the backup must not come back.
    expect((await staff.admin.get('/api/auth/me')).status).toBe(401);
    staff = await signIn(site, staff.orgId);
    await expectServing(staff);
    expect(
      (
        await staff.visitor.post('/api/bootstrap', {
          organization: { name: 'x' },
          admin: { email: 'x@y.test', name: 'x', password: 'x'.repeat(20) },
        })
      ).status,
    ).toBe(403);
    figures('restore', {
      backup_seconds: Math.round(backup.ms / 1000),
      seconds: Math.round(restore.ms / 1000),
      rows: before.length,
    });
  },
  6 * MINUTE,
);
