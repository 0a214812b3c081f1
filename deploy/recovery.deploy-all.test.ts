// Disasters of the database, on a whole platform.
import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { expectCode, expectServing, figures } from './testing/expectations.ts';
import { type Installed, install } from './testing/installed.ts';
import { signIn } from './testing/people.ts';

const MINUTE = 60_000;
let place: Installed;
beforeAll(async () => {
  place = await install({ name: 'recovery', number: 5 });
}, 10 * MINUTE);
afterAll(() => place?.remove(), 2 * MINUTE);

async function found(names: readonly string[]): Promise<void> {
  for (const name of names) {
    const { status, text } = await place.staff.admin.post('/api/orgs', { name, slug: name });
    if (status !== 201) throw new Error(`${name}: ${status} ${text}`);
  }
}

const slugs = (prefix: string) =>
  place.site.sql(`select o.slug from org.organizations o where o.slug like '${prefix}-%' order by o.slug`);
const range = (prefix: string) => Array.from({ length: 10 }, (_, number) => `${prefix}-${number}`);

test(
  'to a point in time: exactly the rows before it',
  async () => {
    const { site } = place;
    expectCode(await site.make('backup'), 0);
    await found(range('before'));
    const [at = ''] = await site.sql('select clock_timestamp()');
    await found(range('after'));
    const restore = await site.make('restore', { FROM: 'latest', AT: at, CONFIRM: 'production' });
    expectCode(restore, 0);
    expect(await slugs('before')).toEqual(range('before'));
    expect(await slugs('after')).toEqual([]);
    place.staff = await signIn(site, place.staff.orgId);
    await expectServing(place.staff);
    figures('restore to a point in time', { seconds: Math.round(restore.ms / 1000) });
  },
  8 * MINUTE,
);

test(
  'F47: what was revoked since the backup stays dead where it can, and is listed where it cannot',
  async () => {
    const { site } = place;
    expectCode(await site.make('backup'), 0);
    const [at = ''] = await site.sql('select clock_timestamp()');
    const { staff } = place;
    const keys = await staff.admin.get<{ data: { id: string; name: string }[] }>(`/api/org/${staff.orgId}/api-keys`);
    const revoked = keys.body.data[0];
    if (!revoked) throw new Error('there is no key');
    expect((await staff.admin.delete(`/api/org/${staff.orgId}/api-keys/${revoked.id}`)).status).toBe(204);
    const restore = await site.make('restore', { FROM: 'latest', AT: at, CONFIRM: 'production' });
    expectCode(restore, 0);
    expect(restore.output).toContain(revoked.id);
    // Every session of before is over, the one that the backup knows as alive too.
    expect((await staff.admin.get('/api/auth/me')).status).toBe(401);
    expect((await staff.visitor.post('/api/auth/refresh', { refresh_token: staff.refreshToken })).status).toBe(401);
    place.staff = await signIn(site, staff.orgId);
    await expectServing(place.staff);
  },
  8 * MINUTE,
);

test(
  'the drill measures what a disaster would cost, and publishes it',
  async () => {
    const { site } = place;
    const drill = await site.make('restore-drill');
    expectCode(drill, 0);
    expect(drill.output).toMatch(/rto/i);
    expect(drill.output).toMatch(/rpo/i);
    figures('restore drill', { seconds: Math.round(drill.ms / 1000) });
  },
  8 * MINUTE,
);

test(
  'the schema is what the migrations make',
  async () => {
    const { site } = place;
    expectCode(await site.make('schema-verify'), 0);
    await site.sql('alter table org.organizations add column surprise text');
    const verify = await site.make('schema-verify');
    expect(verify.code).toBe(1);
    expect(verify.output).toContain('surprise');
    await site.sql('alter table org.organizations drop column surprise');
  },
  4 * MINUTE,
);

test(
  'the host is lost: what is left are the second place, the recovery key, and this repository',
  async () => {
    const { site, staff, recoveryKey } = place;
    await found(range('precious'));
    expectCode(await site.make('backup'), 0);
    await site.lose();
    const { state, backups, secrets, tls, overrides } = site.places;
    const gone = `${state}-gone`;
    renameSync(state, gone);
    mkdirSync(state);
    // What is known of the host beside its data: its settings, which are no secret, and where its copies lie.
    for (const kept of [backups, overrides]) renameSync(kept.replace(state, gone), kept);
    const key = join(state, '..', 'recovery.key');
    writeFileSync(key, recoveryKey, { mode: 0o600 });
    const copies = readdirSync(join(backups, 'secrets')).filter((name) => name.endsWith('.sealed'));
    const newest = join(backups, 'secrets', copies.sort().at(-1) ?? '');

    const started = performance.now();
    expectCode(await site.make('restore-secrets', { FROM: newest, RECOVERY_KEY_FILE: key }), 0);
    expect([...readdirSync(join(secrets, 'app')), ...readdirSync(tls)]).toEqual(
      expect.arrayContaining(['JWT_SECRET', 'PASSWORD_PEPPER', 'fullchain.pem', 'privkey.pem']),
    );
    expectCode(await site.make('restore', { FROM: 'latest', CONFIRM: 'production' }), 0);
    expectCode(await site.make('deploy'), 0);
    expect(await slugs('precious')).toEqual(range('precious'));
    place.staff = await signIn(site, staff.orgId);
    await expectServing(place.staff);
    figures('a lost host', { seconds: Math.round((performance.now() - started) / 1000) });
  },
  10 * MINUTE,
);
