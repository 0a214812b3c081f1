// Releases and hosts that are wrong: each is noticed before or after the switch, and the clients of what is live notice
// nothing of it.
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { must } from './src/command.ts';
import { expectCode, expectSettled, expectUnharmed, figures, figuresOf } from './testing/expectations.ts';
import { type Installed, install } from './testing/installed.ts';
import { doesNotBuild, migrates, migrationFails, neverHealthy, nextVersion } from './testing/releases.ts';
import type { Outcome } from './testing/site.ts';
import { startTraffic } from './testing/traffic.ts';

const MINUTE = 60_000;
let place: Installed;
beforeAll(async () => {
  place = await install({ name: 'failures', number: 2 });
}, 10 * MINUTE);
afterAll(() => place?.remove(), 2 * MINUTE);
afterEach(() => place.site.reset());

/** Deploys under traffic, and expects that nobody but the deployer hears of it. */
async function fails(title: string, code: number, variables: Record<string, string> = {}): Promise<Outcome> {
  const { site, upstream, staff } = place;
  const { revision } = site.live();
  const traffic = await startTraffic(site, staff);
  const deploy = await site.make('deploy', variables);
  const tally = await traffic.stop();
  expectCode(deploy, code);
  await expectUnharmed(site, upstream, tally);
  await expectSettled(site, revision);
  figures(title, { exit: deploy.code, seconds: Math.round(deploy.ms / 1000), ...figuresOf(tally) });
  return deploy;
}

test(
  'a release that never gets healthy is removed, with its last words on the screen',
  async () => {
    await neverHealthy(place.site);
    const { output } = await fails('never healthy', 50);
    expect(output).toContain('this release never gets healthy');
  },
  5 * MINUTE,
);

test(
  'a migration that fails half-way leaves what was applied, names the file, and the fixed release goes on from there',
  async () => {
    const { site } = place;
    await migrationFails(site);
    const { output } = await fails('migration fails', 40);
    expect(output).toContain('9002_wrong.sql');
    expect(await site.sql(`select a.name from migrations.applied a where a.version > 9000`)).toEqual(['9001_fine.sql']);
    // The one that was applied may not be changed or taken away; what was wrong is mended.
    writeFileSync(
      join(site.checkout, 'services/org/migrations/9002_wrong.sql'),
      '-- expand\ncreate table org.right (id bigint primary key);\n',
    );
    await must('git', ['-C', site.checkout, 'commit', '-qam', 'Mend the migration']);
    const mended = await site.make('deploy');
    expectCode(mended, 0);
  },
  8 * MINUTE,
);

test(
  'a contract migration is refused without being asked for',
  async () => {
    const { site } = place;
    writeFileSync(join(site.checkout, 'services/org/migrations/9003_gone.sql'), 'drop table if exists org.fine;\n');
    await must('git', ['-C', site.checkout, 'add', '-A']);
    await must('git', ['-C', site.checkout, 'commit', '-qm', 'Contract']);
    const plan = await site.make('deploy');
    expect([10, 40]).toContain(plan.code);
    expect(plan.output).toContain('9003_gone.sql');
  },
  4 * MINUTE,
);

test(
  'an image that does not build changes nothing',
  async () => {
    await doesNotBuild(place.site);
    const { output } = await fails('does not build', 30);
    expect(output).toContain('exit 3');
  },
  5 * MINUTE,
);

test(
  'a full disk is found before anything is touched',
  async () => {
    const { site } = place;
    await nextVersion(site, '0.3.0');
    // A state folder on a small file system, with what the real one holds.
    const small = join(site.places.state, '..', 'small');
    mkdirSync(small, { recursive: true });
    await must('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', small]);
    try {
      await must('cp', [
        '-a',
        ...['secrets', 'tls', 'nginx', 'live.json', 'settings.env', 'history.ndjson'].map((name) =>
          join(site.places.state, name),
        ),
        small,
      ]);
      const { output } = await fails('full disk', 10, { STATE_DIR: small });
      expect(output).toMatch(/disk|space/i);
    } finally {
      await must('umount', [small]);
    }
  },
  4 * MINUTE,
);

test(
  'a wrong secret is found before anything is touched',
  async () => {
    const { site } = place;
    await nextVersion(site, '0.3.1');
    const file = join(site.places.secrets, 'app', 'JWT_SECRET');
    const right = readFileSync(file);
    const put = (text: string | Buffer) => {
      chmodSync(file, 0o600);
      writeFileSync(file, text);
      chmodSync(file, 0o400);
    };
    try {
      put('change-me-change-me-change-me-change-me');
      const example = await fails('example secret', 11);
      expect(example.output).toContain('JWT_SECRET');
      expect(example.output).not.toContain('change-me-change-me');
      // Well-formed, and not the one that the database's keys are sealed with: only the new processes can find out.
      put(Buffer.from(crypto.getRandomValues(new Uint8Array(36))).toString('base64url'));
      const other = await fails('other secret', 50);
      expect(other.output).toContain('JWT_SECRET');
    } finally {
      put(right);
    }
  },
  8 * MINUTE,
);

test(
  'a setting that is wrong is found before anything is touched, with every other one',
  async () => {
    const { site } = place;
    const right = readFileSync(site.places.overrides, 'utf8');
    await nextVersion(site, '0.3.2');
    try {
      writeFileSync(site.places.overrides, `${right}BCRYPT_COST=4\nAUTH_POOL_MAX=many\n`);
      const { output } = await fails('wrong settings', 11);
      expect(output).toContain('BCRYPT_COST');
      expect(output).toContain('AUTH_POOL_MAX');
      writeFileSync(site.places.overrides, `${right}BCRYTP_COST=12\n`);
      const unknown = await site.make('deploy');
      expectCode(unknown, 11);
      expect(unknown.output).toContain('BCRYTP_COST');
    } finally {
      writeFileSync(site.places.overrides, right);
    }
  },
  6 * MINUTE,
);

test(
  'of two deploys at once the second waits, or says who holds the lock',
  async () => {
    const { site } = place;
    await nextVersion(site, '0.3.3');
    const firstOne = site.start('deploy');
    await firstOne.reaches('preflight');
    const second = await site.make('deploy', { LOCK_WAIT: '1' });
    expectCode(second, 12);
    expectCode(await firstOne.done, 0);
  },
  6 * MINUTE,
);

test(
  'a rollback over an expanded schema works, and the release before it reads what the newer one wrote',
  async () => {
    const { site, upstream, staff } = place;
    const { revision } = site.live();
    await migrates(site);
    expectCode(await site.make('deploy'), 0);
    const traffic = await startTraffic(site, staff);
    const rollback = await site.make('rollback');
    const tally = await traffic.stop();
    expectCode(rollback, 0);
    await expectUnharmed(site, upstream, tally);
    await expectSettled(site, revision);
    rmSync(join(site.checkout, 'services/audit/migrations/9001_more.sql'), { force: true });
  },
  8 * MINUTE,
);
