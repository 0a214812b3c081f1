// `schema.ts verify`: what the live schema and one that the migrations have just made differ in, a line each.
// `schema.ts baseline [--dry-run]`: where they do not differ and nothing is recorded, records every migration as applied.
import { randomBytes } from 'node:crypto';
import { baseline, migrate, SchemaError, status } from '@gatehouse/kit/migrations';
import pg from 'pg';
import { job, migrator, ROOT, superuser, withClient } from './database.ts';
import { differences, readStructure, type Structure } from './structure.ts';

/** The structure that this release's migrations make, in a database of its own on the same server. */
async function expected(): Promise<Structure> {
  const database = `gatehouse_schema_${randomBytes(4).toString('hex')}`;
  const name = pg.escapeIdentifier(database);
  return withClient(superuser('postgres'), async (admin) => {
    await admin.query(`create database ${name} owner gatehouse_migrator template template0 encoding 'UTF8'`);
    try {
      await migrate({ ...migrator(), database }, { root: ROOT });
      return await withClient(superuser(database), readStructure);
    } finally {
      await admin.query(`drop database if exists ${name} with (force)`);
    }
  });
}

async function verify() {
  const found = await withClient(superuser(), readStructure);
  return { compared: found.size, differences: differences(await expected(), found) };
}

async function takeBaseline(dryRun: boolean) {
  const migrations = await withClient(superuser(), (client) => status(client, { root: ROOT }));
  const recorded = migrations.filter(({ state }) => state !== 'pending').length;
  if (recorded > 0) throw new SchemaError(`${recorded} migrations are recorded already; there is nothing to baseline`);
  const { differences: lines } = await verify();
  if (lines.length > 0) return { recorded: [], differences: lines };
  const would = migrations.map(({ unit, name }) => `${unit}/${name}`);
  return { recorded: dryRun ? would : await baseline(migrator(), { root: ROOT }), differences: [] };
}

await job(() => {
  const [command, option] = process.argv.slice(2);
  if (command === 'verify') return verify();
  if (command === 'baseline') return takeBaseline(option === '--dry-run');
  throw new Error('say verify or baseline');
});
