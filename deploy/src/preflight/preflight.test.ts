import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIGRATION_UNITS, readMigrations } from '@gatehouse/kit/migration-files';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { must } from '../command.ts';
import type { Container } from '../compose.ts';
import { judgeCertificate } from './certificate.ts';
import { judgeChrony } from './clock.ts';
import { judgeDisk, minimumBytes, neededBytes } from './disk.ts';
import { type Engine, isAtLeast, judgeEngine, judgeResources } from './engine.ts';
import { error, type Finding } from './findings.ts';
import { judgeMigrations, migrationsIn, pendingIn } from './migrations.ts';
import { judgeSubnet, overlap } from './network.ts';
import { judgePorts } from './ports.ts';
import { connectionBudget, judgeBudget, judgeMount } from './postgres.ts';
import { overrule } from './preflight.ts';
import { judgeRelease } from './release-health.ts';
import { judgeRevision } from './revision.ts';

const ROOT = join(import.meta.dirname, '../../..');
const DAY_MS = 86_400_000;
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'preflight-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const told = (findings: readonly Finding[]) => findings.map(({ level, what }) => `${level}: ${what}`);

async function certify(names: string[], days = 90): Promise<void> {
  const alternatives = `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`;
  const files = ['-keyout', join(dir, 'privkey.pem'), '-out', join(dir, 'fullchain.pem')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await must('openssl', [
    'req',
    '-x509',
    ...key,
    '-days',
    `${days}`,
    '-subj',
    '/CN=x',
    '-addext',
    alternatives,
    ...files,
  ]);
}

test('a certificate for every name, with its key and time left, is fine', async () => {
  await certify(['a.example', '*.b.example']);
  expect(judgeCertificate(dir, 'a.example *.b.example c.b.example')).toEqual([]);
  expect(told(judgeCertificate(dir, 'a.example b.example'))).toEqual(['error: it is not for b.example']);
});

test('a certificate is refused from two weeks before its end, and told of from a month before', async () => {
  await certify(['a.example'], 90);
  const inDays = (days: number) => told(judgeCertificate(dir, 'a.example', Date.now() + days * DAY_MS));
  expect(inDays(59)).toEqual([]);
  expect(inDays(61)).toEqual(['warning: it expires in 28 days']);
  expect(inDays(76)).toEqual(['error: it expires in 13 days']);
  expect(inDays(91)).toEqual([expect.stringMatching(/^error: it expired on/)]);
  expect(inDays(-1)).toEqual([expect.stringMatching(/^error: it is valid from/)]);
});

test('a certificate that is missing, is none, or has the key of another is told apart', async () => {
  expect(told(judgeCertificate(dir, 'a.example'))).toEqual([
    expect.stringMatching(/fullchain.pem and .*privkey.pem are missing/),
  ]);
  await certify(['a.example']);
  const { privateKey } = await import('node:crypto').then(({ generateKeyPairSync }) =>
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  );
  writeFileSync(join(dir, 'privkey.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  expect(told(judgeCertificate(dir, 'a.example'))).toEqual([expect.stringContaining('does not belong to')]);
  writeFileSync(join(dir, 'fullchain.pem'), 'hello');
  expect(told(judgeCertificate(dir, 'a.example'))).toEqual([expect.stringContaining('is no certificate')]);
});

test('the disk must hold three times what there is, and ten gigabytes at least', () => {
  const gb = 2 ** 30;
  expect(neededBytes(minimumBytes(undefined), { images: gb, database: gb })).toBe(10 * gb);
  expect(neededBytes(minimumBytes('1'), { images: gb, database: 4 * gb })).toBe(15 * gb);
  expect(judgeDisk([dir], 1)).toEqual([]);
  // A folder that is still to be made is judged by where it will be, and each file system once.
  expect(judgeDisk([dir, join(dir, 'not/yet')], 2 ** 60)).toHaveLength(1);
});

const ENGINE: Engine = {
  version: '28.1.0',
  compose: '2.35.1',
  cpus: 4,
  memoryBytes: 8 * 2 ** 30,
  root: '/',
  skewMs: 0,
  init: true,
};

test('an engine that is missing, too old or of another time is refused', () => {
  expect(told(judgeEngine(undefined))).toEqual(['error: Docker does not answer']);
  expect(judgeEngine(ENGINE)).toEqual([]);
  expect(told(judgeEngine({ ...ENGINE, version: '24.0.9', compose: 'v2.20.3', skewMs: -5000 }))).toHaveLength(3);
  expect(told(judgeEngine({ ...ENGINE, init: false }))).toEqual([expect.stringMatching(/^warning: .*docker-init/)]);
  expect(['25.0.0', 'v26.1.5+dfsg1', '24.9', ''].map((version) => isAtLeast(version, [25, 0]))).toEqual([
    true,
    true,
    false,
    false,
  ]);
});

test('what both colours are promised must be there; what is not started does not count', () => {
  const services = {
    'auth-blue': { mem_reservation: `${3 * 2 ** 30}` },
    'auth-green': { mem_reservation: `${3 * 2 ** 30}`, profiles: ['green'] },
    grafana: { mem_reservation: `${3 * 2 ** 30}` },
    example: { mem_reservation: `${9 * 2 ** 30}`, profiles: ['example'] },
  };
  expect(told(judgeResources(ENGINE, { services }, []))).toEqual([expect.stringContaining('promised 9.0 GiB')]);
  expect(judgeResources(ENGINE, { services }, ['grafana'])).toEqual([]);
});

test('a port that somebody else has is told, one that is ours is not', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const settings = { PUBLISH_ADDRESS: '127.0.0.1', PUBLISH_HTTP_PORT: '0', PUBLISH_HTTPS_PORT: `${port}` };
  expect(told(await judgePorts(settings, []))).toEqual([
    `error: PUBLISH_HTTPS_PORT=${port} is taken by another program`,
  ]);
  expect(await judgePorts(settings, [port])).toEqual([]);
  await new Promise((resolve) => server.close(resolve));
  expect(await judgePorts(settings, [])).toEqual([]);
  expect(told(await judgePorts({ ...settings, PUBLISH_ADDRESS: '192.0.2.1' }, []))[0]).toContain(
    'no address of this host',
  );
});

test('the edge network may be its own, and nobody else may be in its range', () => {
  const context = { project: 'p', settings: { EDGE_PREFIX: '10.80.0' } };
  const own = { network: 'p_edge', project: 'p', cidr: '10.80.0.0/24' };
  expect(judgeSubnet(context, [own, { network: 'x', project: '', cidr: '10.80.1.0/24' }])).toEqual([]);
  expect(judgeSubnet(context, [{ network: 'x', project: 'q', cidr: '10.64.0.0/10' }])).toHaveLength(1);
  // Of another one the gateways would have addresses that the network has not, and Compose would stop all that is on it.
  expect(told(judgeSubnet({ ...context, settings: { EDGE_PREFIX: '10.81.0' } }, [own]))).toEqual([
    'error: EDGE_PREFIX=10.81.0 is 10.81.0.0/24, and the network p_edge of this environment is 10.80.0.0/24',
  ]);
  expect(judgeSubnet({ ...context, settings: { EDGE_PREFIX: '10.80' } }, [])).toHaveLength(1);
  expect([
    overlap('10.0.0.0/8', '10.255.0.0/24'),
    overlap('10.0.0.0/25', '10.0.0.128/25'),
    overlap('fd00::/8', '10.0.0.0/8'),
  ]).toEqual([true, false, false]);
});

test('both colours count against the connections of the server that runs', () => {
  const services = {
    postgres: { command: ['postgres', '--max-connections=60'] },
    ...Object.fromEntries(
      ['blue', 'green'].flatMap((c) => [
        [`auth-${c}`, {}],
        [`worker-${c}`, { scale: 2 }],
        [`gateway-1-${c}`, {}],
        [`gateway-2-${c}`, {}],
      ]),
    ),
  };
  const settings = { AUTH_POOL_MAX: '5', WORKER_POOL_MAX: '4', GATEWAY_POOL_MAX: '3' };
  expect(connectionBudget({ services }, settings)).toMatchObject({ pools: 38, max: 60 });
  expect(judgeBudget(connectionBudget({ services }, settings))).toEqual([]);
  expect(judgeBudget(connectionBudget({ services }, settings, 50))).toHaveLength(1);
  // The processes' own schemas tell of it, with every other wrong setting.
  expect(judgeBudget(connectionBudget({ services }, { ...settings, AUTH_POOL_MAX: 'many' }))).toEqual([]);
});

test('the mount of the data fits the major of postgres, and the data does', () => {
  const at = (target: string) => ({ services: { postgres: { volumes: [{ target }] } } });
  writeFileSync(join(dir, 'Dockerfile'), 'FROM node:24\nFROM postgres:18 AS database\n');
  expect(judgeMount(dir, at('/var/lib/postgresql'), '18')).toEqual([]);
  expect(judgeMount(dir, at('/var/lib/postgresql/data'), undefined)).toHaveLength(1);
  expect(told(judgeMount(dir, at('/var/lib/postgresql'), '17'))).toEqual([
    'error: the data is of postgres 17, and this release has 18',
  ]);
  expect(judgeMount(ROOT, at('/var/lib/postgresql/data'), '17')).toEqual([]);
});

test('the migrations of a release are those that the migrator will find', () => {
  const theirs = MIGRATION_UNITS.flatMap(({ unit, dir: folder }) =>
    readMigrations(join(ROOT, folder)).map(({ version, name, kind }) => ({ unit, version, name, kind })),
  );
  expect(theirs.length).toBeGreaterThan(20);
  expect(migrationsIn(ROOT)).toEqual(theirs);
});

test('a pending contraction is refused unless it is asked for, or nobody can be hurt by it', () => {
  const folder = join(dir, 'services/org/migrations');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, '0001_more.sql'), '-- expand\nselect 1;');
  writeFileSync(join(folder, '0002_less.sql'), 'drop table x;\n-- expand\n');
  const files = migrationsIn(dir);
  const pending = pendingIn(files, new Set(['org/1']));
  expect(told(judgeMigrations(pending, false, false))).toEqual([expect.stringContaining('org/0002_less.sql')]);
  expect(judgeMigrations(pending, false, true)).toEqual([]);
  expect(judgeMigrations(files, true, false)).toEqual([]);
  expect(judgeMigrations(pendingIn(files, new Set(['org/1', 'org/2'])), false, false)).toEqual([]);
});

test('what is not committed is told, and whoever has a reason goes on', async () => {
  const git = (...args: string[]) =>
    must('git', ['-C', dir, '-c', 'user.name=x', '-c', 'user.email=x@x.invalid', ...args]);
  expect(told(await judgeRevision(dir, 'HEAD'))).toEqual([expect.stringContaining('no checkout of Git')]);
  await git('init', '-q');
  writeFileSync(join(dir, 'a'), '1');
  await git('add', 'a');
  await git('commit', '-q', '-m', 'a');
  expect(await judgeRevision(dir, 'HEAD')).toEqual([]);
  expect(told(await judgeRevision(dir, 'abcdefabcdef'))).toEqual(['error: abcdefabcdef is no commit']);
  writeFileSync(join(dir, 'a'), '2');
  const findings = await judgeRevision(dir, 'HEAD');
  expect(told(findings)).toEqual([expect.stringContaining('a are not committed')]);
  expect(overrule(findings, 'urgent')).toEqual([
    expect.objectContaining({ level: 'warning', remedy: 'Overruled by FORCE: urgent' }),
  ]);
  expect(overrule([error('disk', 'full', 'x')], 'urgent')).toEqual([error('disk', 'full', 'x')]);
});

test('a release that ails, or lacks a process, is told with what it has', () => {
  const live = { revision: 'aaaaaaaaaaaa', colour: 'blue', since: '', previous: null } as const;
  const container = (service: string, state = 'running', health = 'healthy') =>
    ({ service, state, health, exitCode: 1 }) as Container;
  const all = ['auth', 'org', 'audit', 'worker', 'gateway-1', 'gateway-2'].map((name) => container(`${name}-blue`));
  expect(judgeRelease(null, [])).toEqual([]);
  expect(judgeRelease(live, all)).toEqual([]);
  const ailing = [container('auth-blue', 'exited', ''), container('org-blue', 'running', 'unhealthy'), ...all.slice(3)];
  expect(told(judgeRelease(live, ailing))).toEqual([
    'error: the release that is live is not healthy: auth-blue ended with 1, org-blue is unhealthy, audit-blue is missing',
  ]);
});

test('a clock that is off, or that nobody keeps, is told', () => {
  const tracking = (offset: string, leap: string) =>
    `A1B2,time.example,2,1700000000.0,${offset},0.0,0.0,1,0,0.1,0.1,0.1,64,${leap}\n`;
  expect(judgeChrony(tracking('0.000012', 'Normal'))).toEqual([]);
  expect(told(judgeChrony(tracking('-0.2', 'Normal')))).toEqual(['error: the clock is off by -0.2 s']);
  expect(told(judgeChrony(tracking('0', 'Not synchronised')))).toEqual(['warning: chrony follows no server']);
});
