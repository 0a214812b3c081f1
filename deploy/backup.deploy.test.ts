import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { archived, psql, readRepository } from './src/backup/database.ts';
import { restoreDrill } from './src/backup/drill.ts';
import { type Manifest, readManifest } from './src/backup/manifest.ts';
import { restore } from './src/backup/restore.ts';
import { backupAndVerify } from './src/backup/verified-backup.ts';
import { must } from './src/command.ts';
import { type DatabaseSite, startDatabaseSite } from './testing/database-site.ts';

let site: DatabaseSite;
beforeAll(async () => {
  process.env['CONFIRM'] = 'development';
  site = await startDatabaseSite('backup', '10.85.1');
}, 300_000);
afterAll(() => site?.remove(), 60_000);

const users = (prefix: string, count: number) =>
  site.sql(`insert into auth.users (id, email, name, role, created_at, updated_at)
    select gen_random_uuid(), '${prefix}' || i || '@users.test', 'U', 'user', now(), now() from generate_series(1, ${count}) i`);
const emails = async () => Number(await site.sql(`select count(*) from auth.users`));
const rowsOf = ({ tables }: Manifest) =>
  Object.fromEntries(Object.entries(tables).map(([name, { rows }]) => [name, rows]));

/** Records of what happened, sealed into the audit log as its service does. */
async function auditRecords(count: number): Promise<void> {
  const code = `
    import { openPool } from '@gatehouse/kit/db';
    import { systemActor } from '@gatehouse/kit/actor';
    import { systemClock } from '@gatehouse/kit/clock';
    import { publish } from '@gatehouse/kit/outbox';
    import { superuser } from './deploy/jobs/database.ts';
    import { seal } from './services/audit/src/sealing/seal.ts';
    const pool = openPool({ ...superuser(), max: 1, name: 'seal' });
    const restored = { environment: 'development', by: 'tests', host: 'tests', backup: 'none', at: null };
    for (let i = 0; i < ${count}; i++) await publish(pool, systemActor('tests', 'tests'), 'platform.restored.v1', restored);
    await seal(pool, { clock: systemClock });
    await pool.end();`;
  await site.context.compose.job('--input-type=module', ['-e', code]);
}

/** Waits until what was written before is in the archive: so much of it a disaster would spare. */
async function untilArchived(): Promise<void> {
  const file = await psql(site.context, 'select pg_walfile_name(pg_current_wal_lsn())', 'postgres');
  await psql(site.context, 'select pg_switch_wal()', 'postgres');
  await archived(site.context, file);
}

const scratchLeft = async () =>
  (await must('docker', ['ps', '-aq', '--filter', `label=gatehouse.scratch=${site.context.project}`])) +
  (await must('docker', ['volume', 'ls', '-q', '--filter', `label=gatehouse.scratch=${site.context.project}`]));

test('a backup counts once it was restored, every table compared and the audit chain verified; nothing is left over', async () => {
  await users('before', 500);
  await auditRecords(3);
  const record = await backupAndVerify(site.context, 'test');
  expect(record).toMatchObject({
    verified: true,
    audit_head: { seq: 3, hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
  });
  expect(record.rows).toBeGreaterThan(500);
  expect(record.tables).toBeGreaterThan(25);
  expect(readFileSync(join(site.context.places.metrics, 'restore.prom'), 'utf8')).toMatch(
    /^backup_last_verified_restore_timestamp_seconds \d{10}$/m,
  );
  expect(await scratchLeft()).toBe('');
}, 60_000);

test('a migration that takes something away is refused by name, before anything is applied, unless CONTRACT=1', async () => {
  const { compose, places } = site.context;
  const folder = '/app/services/worker/migrations';
  const file = (name: string, text: string) => {
    writeFileSync(join(places.state, name), text, { mode: 0o644 });
    return ['-v', `${join(places.state, name)}:${folder}/${name}:ro`];
  };
  const files = [
    ...file('0098_more.sql', '-- expand\ncreate table app.more (id integer);'),
    ...file('0099_less.sql', 'drop table app.more;'),
  ];
  const apply = (...options: string[]) =>
    compose.job('deploy/jobs/migrate.ts', ['apply'], { with: [...files, ...options] });

  await expect(apply()).rejects.toMatchObject({ result: { stdout: expect.stringContaining('worker/0099_less.sql') } });
  expect(await site.sql(`select count(*) from migrations.applied where version > 90`)).toBe('0');
  expect(JSON.parse(await apply('-e', 'CONTRACT=1'))).toMatchObject({
    applied: ['worker/0098_more.sql', 'worker/0099_less.sql'],
  });
  await site.sql('delete from migrations.applied where version > 90');
}, 60_000);

test('a deploy that takes nothing away needs no second proof on the same day', async () => {
  expect(await backupAndVerify(site.context, 'deploy')).toMatchObject({ verified: false, restore_ms: 0 });
}, 30_000);

test('the volume of the database lost, every row comes back, and a session of before is over', async () => {
  await site.sql(`insert into auth.sessions (id, user_id, key_sealed, rotated_at, device, address, created_at, last_used_at, idle_expires_at, expires_at)
    select gen_random_uuid(), u.id, '\\x00', now(), 'd', '::1', now(), now(), now() + interval '1 day', now() + interval '1 day'
    from auth.users u limit 1`);
  await users('after', 77);
  await untilArchived();
  const before = rowsOf(await readManifest(site.context.compose));
  await site.context.compose.must(['rm', '-sf', 'postgres', 'backup']);
  await must('docker', ['volume', 'rm', `${site.context.project}_postgres-data`]);

  await restore(site.context, { from: 'latest', at: '' });

  const after = rowsOf(await readManifest(site.context.compose));
  // The restore itself is an event, still to be sealed.
  expect(after).toEqual({ ...before, 'events.outbox': (before['events.outbox'] ?? 0) + 1 });
  expect(await site.sql('select count(*) from auth.sessions where ended_at is null')).toBe('0');
  expect(await site.sql(`select count(*) from auth.sessions where end_reason = 'restored'`)).toBe('1');
}, 120_000);

test('at a point in time there is exactly what was there then, and what was revoked since is told', async () => {
  await users('kept', 20);
  const at = await site.sql('select clock_timestamp()');
  const then = await emails();
  await users('lost', 30);
  await site.sql(
    `update auth.users set status = 'disabled', updated_at = clock_timestamp() where email = 'before7@users.test'`,
  );

  await restore(site.context, { from: 'latest', at });

  expect(await emails()).toBe(then);
  expect(await site.sql(`select count(*) from auth.users where email like 'lost%'`)).toBe('0');
  expect(site.events.findLast(({ event }) => event === 'revived')).toMatchObject({
    revoked: [expect.stringContaining('before7@users.test is disabled')],
  });
  expect(await site.onVolume('postgres-data', 'ls')).toBe('pgdata\n');
}, 120_000);

test('the drill restores the newest state, and a moment from the second place', async () => {
  const drill = await restoreDrill(site.context);
  expect(drill.rto_seconds).toBeGreaterThan(0);
  expect(drill.point).toMatch(/^\d{4}-/);
}, 60_000);

test('an edited audit log is found in the restored backup', async () => {
  const edit = (value: string) =>
    site.sql(`set session_replication_role = replica; update audit.log set outcome = '${value}' where seq = 2`);
  const was = await site.sql('select outcome from audit.log where seq = 2');
  await edit('failure');
  await expect(backupAndVerify(site.context, 'test')).rejects.toMatchObject({
    code: 20,
    lines: [expect.stringContaining('sequence 2: edited')],
  });
  await edit(was);
}, 60_000);

test('a backup damaged in its place is found before anybody needs it', async () => {
  const { backups } = await readRepository(site.context);
  const full = backups.findLast(({ type, place }) => type === 'full' && place === 1)?.label;
  // Sixteen bytes in the middle of each bundle: one block of the cipher and the next.
  await site.onVolume(
    'backup-repository',
    `for file in backup/gatehouse/${full}/bundle/*; do
       printf 'sixteen bytes ..' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") / 2)) conv=notrunc status=none
     done`,
  );
  await expect(backupAndVerify(site.context, 'test')).rejects.toMatchObject({ code: 20 });
  expect(await scratchLeft()).toBe('');
}, 60_000);
