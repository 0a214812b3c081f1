import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@gatehouse/kit/log';
import { openQueue, queueConnection } from '@gatehouse/kit/queue';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runJob } from '../deploy/jobs/test-job.ts';
import type { Container } from '../deploy/src/compose.ts';
import type { Context } from '../deploy/src/context.ts';
import { placesOf } from '../deploy/src/places.ts';
import { fingerprintOf, securityChecks } from '../deploy/src/smoke/security-checks.ts';
import { smoke } from '../deploy/src/smoke/smoke.ts';
import { ensureSynthetic } from '../deploy/src/smoke/synthetic.ts';
import { tenantOf } from '../deploy/src/smoke/tenant.ts';
import { house, query } from './house/house.ts';

const SECRET = randomBytes(36).toString('base64');
const tenant = tenantOf(SECRET);

let state: string;
beforeAll(async () => {
  state = mkdtempSync(join(tmpdir(), 'gatehouse-smoke-'));
  await ensureSynthetic(context());
}, 30_000);
afterAll(() => rmSync(state, { recursive: true }));

/** The platform of the run as the deployer would see it: its worker as a container, its secrets in a state folder. */
function context({ secret = SECRET, workers = 1, settings = {} as Record<string, string> } = {}): Context {
  const places = placesOf(mkdtempSync(join(state, 'place-')));
  mkdirSync(join(places.secrets, 'app'), { recursive: true });
  writeFileSync(join(places.secrets, 'app', 'SYNTHETIC_PASSWORD'), `${secret}\n`, { mode: 0o400 });
  const worker = { service: 'worker-blue', state: 'running', addresses: { obs: '127.0.0.1' } } as unknown as Container;
  const compose = {
    containers: async () => Array.from({ length: workers }, () => worker),
    async job(script: string) {
      const files = readdirSync(house().secretsDir).map((name) => [`${name}_FILE`, join(house().secretsDir, name)]);
      const env = { ...house().settings, ...settings, ...Object.fromEntries(files), SYNTHETIC_PASSWORD: secret };
      const { code, stdout, stderr } = await runJob(script.replace('deploy/jobs/', ''), env);
      if (code !== 0) throw new Error(stderr);
      return stdout;
    },
  };
  return { places, compose, settings: { ...house().settings, ...settings } } as unknown as Context;
}

const gateway = () => ({ url: `http://127.0.0.1:${house().settings['GATEWAY_PORT']}`, host: 'localhost' });
const nginx = () => ({
  url: house().url,
  host: 'localhost',
  fingerprint: fingerprintOf(join(house().dataDir, 'certificates', 'server.pem')),
});
const failureOf = (run: Promise<unknown>) =>
  run.then(
    () => 'nothing failed',
    (error: Error) => error.message,
  );

/** What a run could leave behind. */
async function leftovers() {
  const [counted] = await query(
    `select (select count(*)::int from org.members where org_id = $1) as members,
      (select count(*)::int from org.invitations where org_id = $1 and status = 'open') as invitations,
      (select count(*)::int from auth.sessions where user_id = any ($2) and ended_at is null) as sessions`,
    [tenant.orgId, [tenant.owner.id, tenant.viewer.id]],
  );
  return counted;
}
const NOTHING = { members: 2, invitations: 0, sessions: 0 };

describe('the smoke run', () => {
  test('passes through a gateway in less than five seconds, and leaves nothing', async () => {
    const { ms, steps, skipped } = await smoke(context(), gateway());
    process.stdout.write(`  smoke: ${ms} ms; ${steps.map(({ name, ms: took }) => `${name} ${took}`).join(', ')}\n`);
    expect(ms).toBeLessThan(5_000);
    expect(skipped).toEqual([]);
    expect(steps).toHaveLength(13);
    expect(await leftovers()).toEqual(NOTHING);
  });

  test('its mails are never handed over', async () => {
    const answer = await fetch(`${house().mailboxUrl}/api/messages`);
    expect(answer.status).toBe(200);
    expect(await answer.text()).not.toContain('synthetic.invalid');
  });

  test('twenty runs find room: ten members and fifty invitations a day are what the plan gives', async () => {
    for (let round = 0; round < 20; round++) await smoke(context(), gateway());
    expect(await leftovers()).toEqual(NOTHING);
  }, 100_000);

  test('proves a second factor where everybody must have one, also twice in a row', async () => {
    const strict = context({ settings: { SECOND_FACTOR_REQUIRED_FOR: 'everyone' } });
    await ensureSynthetic(strict);
    for (let round = 0; round < 2; round++) expect((await smoke(strict, gateway())).skipped).toEqual([]);
    await ensureSynthetic(context());
  }, 60_000);

  test('says what it skips where no owner makes accounts, and does the rest', async () => {
    const { skipped, steps } = await smoke(context({ settings: { REGISTRATION_MODE: 'invite' } }), gateway());
    expect(skipped).toEqual([expect.stringContaining('REGISTRATION_MODE is invite')]);
    expect(steps).toHaveLength(11);
  });

  test('says which step failed, with the answer and its request id, and nothing of the secret', async () => {
    const wrong = randomBytes(36).toString('base64');
    const said = await failureOf(smoke(context({ secret: wrong }), gateway()));
    expect(said).toMatch(
      /failed at "sign in": POST \/api\/auth\/login answered 401 auth\.invalid_credentials .*in place of 200, request id \S+/,
    );
    expect(said).not.toContain(wrong);
  });

  test('notices a gateway that is not there', async () => {
    const nobody = { url: 'http://127.0.0.1:1', host: 'localhost' };
    expect(await failureOf(smoke(context(), nobody))).toMatch(/failed at "sign in": .*ECONNREFUSED/);
  });

  test('notices that no worker runs, or that none answers', async () => {
    expect(await failureOf(smoke(context({ workers: 0 }), gateway()))).toMatch(/"ask the workers": no worker runs/);
    const deaf = context({ settings: { WORKER_OPS_PORT: '1' } });
    expect(await failureOf(smoke(deaf, gateway()))).toMatch(/"ask the workers": no worker answers/);
    expect(await leftovers()).toEqual(NOTHING);
  });

  test('notices workers that carry nothing out, and still leaves nothing', async () => {
    const log = createLogger({ service: 'test', version: '0', environment: 'test', level: 'error' });
    const password = house().settings['REDIS_PASSWORD'];
    const connection = queueConnection({ url: house().redisUrl, password, log }, { blocking: false });
    const queue = openQueue('mail', connection);
    await new Promise((resolve) => connection.once('ready', resolve));
    await queue.pause();
    try {
      expect(await failureOf(smoke(context(), gateway()))).toMatch(/"have the job of its mail carried out"/);
    } finally {
      await queue.resume();
      await queue.close();
      connection.disconnect();
    }
    expect(await leftovers()).toEqual(NOTHING);
  }, 60_000);

  test('notices an organization that is suspended; the next one finds it as it should be', async () => {
    await query(`update org.organizations set status = 'deleted', deleted_at = now() where id = $1`, [tenant.orgId]);
    expect(await failureOf(smoke(context(), gateway()))).toMatch(/"read the organization": .* answered 404/);
    await ensureSynthetic(context());
    expect((await smoke(context(), gateway())).skipped).toEqual([]);
  }, 30_000);
});

describe('the five checks', () => {
  // nginx lets an address sign in five times a minute, and four times at once: of these, two do twice.
  test('pass through nginx, and leave nothing', async () => {
    const results = await securityChecks(context(), nginx());
    expect(results.map(({ ok, detail }) => [ok, detail])).toEqual([
      [true, '401'],
      [true, '200'],
      [true, '201'],
      [true, '403'],
      [true, '404'],
    ]);
    expect(await leftovers()).toEqual(NOTHING);
  });

  test('notice a wrong password, and ask nothing then that needs somebody signed in', async () => {
    const results = await securityChecks(context({ secret: randomBytes(36).toString('base64') }), nginx());
    expect(results.map(({ ok }) => ok)).toEqual([true, false, false, false, false]);
    expect(results[1]?.detail).toContain('answered 401 auth.invalid_credentials');
  });

  test('notice that a viewer may what only owners and admins may', async () => {
    const mode = { REGISTRATION_MODE: 'invite' };
    await query(`update org.members set role = 'admin' where user_id = $1`, [tenant.viewer.id]);
    const results = await securityChecks(context({ settings: mode }), nginx());
    expect(results.map(({ ok }) => ok)).toEqual([false, true, false, false, true]);
    expect(results[0]?.detail).toMatch(/answered 401 .*in place of registration\.invitation_required/);
    expect(results[3]?.detail).toMatch(/invitations answered 200 in place of 403/);
    await ensureSynthetic(context());
  }, 30_000);

  test('send nothing to whoever shows another certificate', async () => {
    const { fingerprint } = nginx();
    const other = { ...nginx(), fingerprint: `00${fingerprint.slice(2)}` };
    const results = await securityChecks(context(), other);
    expect(results.map(({ ok }) => ok)).toEqual([false, false, false, false, false]);
    expect(results[0]?.detail).toContain('another certificate is served');
  });
});
