// The deployer killed as a stage begins, one after the other: the next run converges, and clients notice nothing.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { expectCode, expectSettled, expectUnharmed, figures, figuresOf } from './testing/expectations.ts';
import { type Installed, install } from './testing/installed.ts';
import { nextVersion } from './testing/releases.ts';
import { startTraffic } from './testing/traffic.ts';

const MINUTE = 60_000;
const PREPARING = ['recover', 'preflight', 'build', 'configuration', 'infrastructure', 'backup', 'migrate'];
const PROVING = ['start', 'gate', 'switch', 'bake', 'checks', 'finish'];
let place: Installed;
let releases = 0;
beforeAll(async () => {
  place = await install({ name: 'killed', number: 3 });
}, 10 * MINUTE);
afterAll(() => place?.remove(), 2 * MINUTE);

// Right at the beginning of a stage; where processes and nginx change, once it is under way too.
test.each([
  ...PREPARING.map((stage) => [stage, 0] as const),
  ...PROVING.flatMap((stage) => [[stage, 0] as const, [stage, 700] as const]),
])(
  'killed %s + %d ms',
  async (stage, afterMs) => {
    const { site, upstream, staff } = place;
    releases += 1;
    const revision = await nextVersion(site, `1.${releases}.0`);
    const traffic = await startTraffic(site, staff);
    const killed = site.start('deploy');
    await killed.reaches(stage);
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    await killed.kill();
    const again = await site.make('deploy');
    const tally = await traffic.stop();
    expectCode(again, 0);
    await expectUnharmed(site, upstream, tally);
    await expectSettled(site, revision);
    const status = await site.make('doctor');
    expect([status.code, status.output]).toEqual([0, expect.any(String)]);
    figures(`killed at ${stage} + ${afterMs} ms`, { seconds: Math.round(again.ms / 1000), ...figuresOf(tally) });
  },
  6 * MINUTE,
);

test(
  'a rollback that is killed converges too',
  async () => {
    const { site, upstream, staff } = place;
    for (const stage of ['gate', 'switch', 'bake', 'finish']) {
      const traffic = await startTraffic(site, staff);
      const killed = site.start('rollback');
      await killed.reaches(stage);
      await killed.kill();
      const again = await site.make('deploy');
      const tally = await traffic.stop();
      expectCode(again, 0);
      await expectUnharmed(site, upstream, tally);
      await expectSettled(site);
    }
  },
  12 * MINUTE,
);
