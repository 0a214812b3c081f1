import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '@gatehouse/testkit/process';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Pool } from 'undici';
import { query } from '../house/house.ts';
import { type Company, company, newKey, type Person, platformAdmin } from '../house/people.ts';
import { plain } from '../house/plain.ts';
import { until } from '../house/wait.ts';
import { type Beside, startBeside } from './beside.ts';
import { doubled, missingFrom, openLedger, startLoad } from './ledger.ts';
import { type Scene, startScene } from './scene.ts';

let scene: Scene;
let admin: Person;
let acme: Company;
const beside: Beside[] = [];
beforeAll(async () => {
  scene = await startScene({ skip: ['mailbox'] });
  admin = await platformAdmin();
  acme = await company(['owner']);
}, 90_000);
afterEach(async () => {
  for (const { child, closed } of beside.splice(0)) {
    child.kill('SIGKILL');
    await closed;
  }
});
afterAll(() => scene.close(), 60_000);

async function another(...args: Parameters<typeof startBeside> extends [unknown, ...infer R] ? R : never) {
  const made = await startBeside(scene, ...args);
  beside.push(made);
  await made.ready();
  return made;
}

describe('F35: while audit is away (five seconds for ten minutes)', () => {
  const keysIn = async (table: string) =>
    (
      await query<{ name: string }>(
        `select data->>'name' as name from ${table} where type = 'org.api_key_created.v1' and data->>'name' like 'f35-%'`,
      )
    ).map(({ name }) => name);
  const cap = async (most: string) => {
    const name = scene.platform.settings['DATABASE_NAME'];
    await query(`alter database ${name} set gatehouse.outbox_max = '${most}'`);
    // Sessions that are open keep what they began with.
    await query(`select pg_terminate_backend(pid) from pg_stat_activity where usename like 'gatehouse_%'`);
  };
  const setPlan = (plan: string) =>
    admin.client.patch<{ code: string }>(`/api/platform/organizations/${acme.id}`, { plan, reason: 'F35' });

  test('actions are recorded with the change and all arrive; at the cap only privileged writes are refused', async () => {
    const keys = openLedger();
    const { client } = acme.people.owner;
    await scene.kill('audit');
    // Fewer than an organization of any plan may have keys, however fast the machine.
    const load = startLoad(3, 75, (line, round) => {
      const name = `f35-${line}-${round}`;
      return keys.record(name, () => client.post(`/api/org/${acme.id}/api-keys`, { name }));
    });
    await delay(5_000);
    await load.stop();
    const made = keys.of('acknowledged');
    expect(keys.entries.filter(({ fate }) => fate !== 'acknowledged')).toEqual([]);
    expect(made.length).toBeGreaterThan(100);
    expect((await keysIn('events.outbox')).sort()).toEqual([...made].sort());

    await cap('50');
    // The services' connections were cut: their first request may find that out.
    await until('ordinary work goes on', 5_000, () => client.patch(`/api/org/${acme.id}`, { name: 'Full' }), ok);
    const refused = await until(
      'the platform is refused',
      5_000,
      () => setPlan('free'),
      ({ status }) => status === 503,
    );
    expect(refused.body.code).toBe('dependency_unavailable');
    const [{ plan } = { plan: '' }] = await query<{ plan: string }>(
      'select plan from org.organizations where id = $1',
      [acme.id],
    );
    expect(plan).toBe('enterprise');
    expect((await client.post(`/api/org/${acme.id}/api-keys`, { name: 'f35-at-the-cap' })).status).toBe(201);

    await scene.revive('audit');
    await until(
      'all is sealed',
      15_000,
      () => keysIn('events.outbox'),
      (left) => left.length === 0,
    );
    const sealed = await keysIn('audit.log');
    expect(missingFrom(sealed, [...made, 'f35-at-the-cap'])).toEqual([]);
    expect(doubled(sealed)).toEqual([]);
    await until('privileged work goes on', 5_000, () => setPlan('enterprise'), ok);
    await cap('1000000');
    process.stdout.write(`  F35: ${made.length} actions while audit was away, ${sealed.length} sealed, none twice\n`);
  }, 60_000);
});

const ok = ({ status }: { status: number }) => status === 200;

describe('F45: a log that cannot be written', () => {
  const dropped = async ({ opsPort }: Beside) => {
    const { text } = await plain(`http://127.0.0.1:${opsPort}/metrics`);
    return Number(/^log_lines_dropped_total (\d+)/m.exec(text)?.[1] ?? -1);
  };
  /** As many requests as fill a pipe and what may wait behind it. */
  async function flood({ port }: Beside, count: number): Promise<Set<number>> {
    const pool = new Pool(`http://127.0.0.1:${port}`, { connections: 32 });
    const statuses = new Set<number>();
    await Promise.all(
      Array.from({ length: 32 }, async () => {
        for (let sent = 0; sent < count / 32; sent++) {
          const { statusCode, body } = await pool.request({ path: '/api/orgs', method: 'GET' });
          await body.dump();
          statuses.add(statusCode);
        }
      }),
    );
    await pool.destroy();
    return statuses;
  }
  async function worksThrough({ port }: Beside): Promise<void> {
    const name = `F45 ${port}`;
    const answer = await plain(`http://127.0.0.1:${port}/api/org/${acme.id}`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${acme.people.owner.client.token}` },
      body: { name },
    });
    expect(answer.status).toBe(200);
    const recorded = () =>
      query('select seq from audit.log where type = $1 and org_id = $2 and data::text like $3', [
        'org.organization_changed.v1',
        acme.id,
        `%${name}%`,
      ]);
    await until('it is in the audit log', 10_000, recorded, (rows) => rows.length === 1);
  }

  test('because its pipe is not read: requests are served, lines beyond a megabyte are counted', async () => {
    const gateway = await another('gateway', {}, { stdout: 'unread' });
    expect(await flood(gateway, 6_400)).toEqual(new Set([401]));
    await until(
      'what did not fit is counted',
      5_000,
      () => dropped(gateway),
      (lines) => lines > 100,
    );
    await worksThrough(gateway);
  }, 40_000);

  test('because the disk is full: requests are served, lines are counted', async () => {
    const full = openSync('/dev/full', 'w');
    const gateway = await another('gateway', {}, { stdout: full });
    closeSync(full);
    expect(await flood(gateway, 640)).toEqual(new Set([401]));
    // Lines are written a little after their requests.
    await until(
      'every line is counted',
      5_000,
      () => dropped(gateway),
      (lines) => lines >= 640,
    );
    await worksThrough(gateway);
  }, 40_000);
});

describe('F46: at the end of its resources', () => {
  test('a process that reaches its heap limit ends by itself, with a failure, and its successor is ready within five seconds', async () => {
    const inspectPort = await freePort();
    const NODE_OPTIONS = `--max-old-space-size=64 --inspect=127.0.0.1:${inspectPort}`;
    const org = await another('org', { NODE_OPTIONS });
    const [target] = (await (await fetch(`http://127.0.0.1:${inspectPort}/json/list`)).json()) as {
      webSocketDebuggerUrl: string;
    }[];
    const inspector = new WebSocket(target?.webSocketDebuggerUrl ?? '');
    await once(inspector as unknown as NodeJS.EventEmitter, 'open');
    const start = performance.now();
    const expression =
      'globalThis.leak = []; setInterval(() => leak.push(Array.from({ length: 20000 }, Math.random)), 1)';
    inspector.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } }));

    const code = await org.closed;
    const endedMs = performance.now() - start;
    const endedAt = performance.now();
    await another('org');
    const backMs = performance.now() - endedAt;

    process.stdout.write(`  F46: out of memory after ${Math.round(endedMs)} ms, back in ${Math.round(backMs)} ms\n`);
    expect(code).not.toBe(0);
    expect(org.output()).toContain('heap out of memory');
    expect(backMs).toBeLessThan(5_000);
  }, 40_000);

  test('with 256 open files and more connections than that: 503 where something is missing, no spinning, and whole again after', async () => {
    const gateway = await another('gateway');
    const pid = gateway.child.pid as number;
    const { key } = await newKey(acme.people.owner, acme.id);
    const files = () => readdirSync(`/proc/${pid}/fd`).length;
    const ask = (pool: Pool) =>
      pool.request({ path: '/api/proxy/example/x', method: 'GET', headers: { 'x-api-key': key } });
    // A connection from before, to ask on when there are none to be had.
    const early = new Pool(`http://127.0.0.1:${gateway.port}`, { connections: 1, keepAliveTimeout: 60_000 });
    expect((await (await early.request({ path: '/health', method: 'GET' })).body.text()).length).toBeGreaterThan(0);
    const base = files();

    execFileSync('prlimit', [`--pid=${pid}`, '--nofile=256:256']);
    const sockets: Socket[] = [];
    while (sockets.length < 300) sockets.push(connect(gateway.port, '127.0.0.1').on('error', () => undefined));
    await until('no file is left', 5_000, files, (count) => count >= 255);
    const cpuBefore = cpuMs(pid);
    const answer = await ask(early);
    const problem = (await answer.body.json()) as { code: string };
    await delay(2_000);
    const cpu = cpuMs(pid) - cpuBefore;
    process.stdout.write(`  F46: ${files()} files open, ${answer.statusCode} ${problem.code}, ${cpu} ms CPU in 2 s\n`);
    expect(answer.statusCode).toBe(503);
    expect(cpu).toBeLessThan(1_000);

    for (const socket of sockets) socket.destroy();
    await until('files are free again', 5_000, files, (count) => count <= base + 10);
    await until(
      'it serves',
      5_000,
      async () => (await ask(early)).statusCode,
      (status) => status === 200,
    );
    await early.destroy();
  }, 40_000);
});

/** Processor time of a process so far; a tick is 10 ms. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
