import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { house, logLines, visitor } from '../house/house.ts';
import { type Company, company } from '../house/people.ts';
import { until } from '../house/wait.ts';
import { startLoad } from './ledger.ts';
import { type Scene, startScene } from './scene.ts';

let scene: Scene;
let acme: Company;
beforeAll(async () => {
  scene = await startScene({ skip: ['mailbox', 'upstream'], instances: { auth: 2, org: 2, worker: 2, gateway: 2 } });
  acme = await company(['viewer']);
  writeFileSync(shiftFile(), SHIFT);
}, 90_000);
afterAll(() => scene.close(), 60_000);

const MINUTE_MS = 60_000;
// Loaded before the program: for it and all that it loads the time is another one.
const SHIFT = `
const Real = Date;
const now = () => Real.now() + Number(process.env.CLOCK_SHIFT_MS);
globalThis.Date = new Proxy(Real, {
  construct: (target, given, type) => Reflect.construct(target, given.length > 0 ? given : [now()], type),
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
});`;

const shiftFile = () => join(house().dataDir, 'shift.mjs');
const shifted = (ms: number) => ({
  NODE_OPTIONS: `--import=${pathToFileURL(shiftFile())}`,
  CLOCK_SHIFT_MS: String(ms),
});

async function readiness(name: string): Promise<{ status: number; text: string }> {
  const url = `${scene.platform.process(name).opsUrl}/readyz`;
  const response = await fetch(url).catch(() => undefined);
  return { status: response?.status ?? 0, text: (await response?.text()) ?? '' };
}

function startPeople() {
  const failures: string[] = [];
  let answers = 0;
  const { email, password } = acme.people.viewer;
  const clients = Array.from({ length: 3 }, () => visitor({ patient: false, keepAlive: false }));
  const load = startLoad(3, 30, async (line) => {
    const client = clients[line] as ReturnType<typeof visitor>;
    const check = ({ status, text }: { status: number; text: string }) => {
      answers += 1;
      if (status !== 200) failures.push(`${status} ${text.slice(0, 200)}`);
    };
    const signedIn = await client.post<{ access_token: string; refresh_token: string }>('/api/auth/login', {
      email,
      password,
    });
    check(signedIn);
    const { access_token, refresh_token } = signedIn.body;
    check(await client.as(access_token).get(`/api/org/${acme.id}`));
    check(await client.post('/api/auth/refresh', { refresh_token }));
  });
  return { failures, answers: () => answers, stop: load.stop };
}

const NAMES = ['auth-2', 'org-2', 'worker-2', 'gateway-2'];

test.each([
  ['an hour behind', -60 * MINUTE_MS],
  ['ten minutes ahead', 10 * MINUTE_MS],
])(
  'F36: processes whose clock is %s are not ready, the others go on, and right again they are back',
  async (_, ms) => {
    const { nginx } = scene.platform;
    const hostOf = (name: string) => new URL(scene.platform.process(name).url).host;
    // What whoever looks at the readiness does.
    await nginx?.useGateways([hostOf('gateway')]);
    const people = startPeople();
    const refusals = logLines('worker-2', 'no job is taken').length;
    for (const name of NAMES) {
      await scene.platform.process(name).stop('SIGTERM');
      scene.platform.process(name).start(shifted(ms));
    }
    for (const name of NAMES) {
      const last = await until(
        `${name} says why`,
        20_000,
        () => readiness(name),
        ({ text }) => /clock/.test(text),
      );
      expect([name, last.status]).toEqual([name, 503]);
    }
    await until(
      'the worker says that it takes nothing',
      10_000,
      () => logLines('worker-2', 'no job is taken').length,
      (count) => count > refusals,
    );
    for (const name of NAMES) {
      await scene.platform.process(name).stop('SIGTERM');
      await scene.revive(name);
    }
    await people.stop();
    expect(people.failures).toEqual([]);
    expect(people.answers()).toBeGreaterThan(50);
    await nginx?.useGateways([hostOf('gateway'), hostOf('gateway-2')]);
  },
  90_000,
);
