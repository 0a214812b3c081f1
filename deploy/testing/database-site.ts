import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { psql } from '../src/backup/database.ts';
import { must, run } from '../src/command.ts';
import { createCompose } from '../src/compose.ts';
import type { Context } from '../src/context.ts';
import { migrateDatabase } from '../src/migrations/migrate-database.ts';
import { placesOf } from '../src/places.ts';
import { createReporter } from '../src/report.ts';
import { ensureSecrets } from '../src/secrets/ensure.ts';
import { loadSettings, writeMergedSettings } from '../src/settings.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** The database of a platform, its backups and Redis, as deployed; none of the processes that use them. */
export interface DatabaseSite {
  context: Context;
  /** What the commands reported, as machines read it. */
  events: { event: string; [field: string]: unknown }[];
  sql(statement: string): Promise<string>;
  /** Runs a program of the database image on volumes of the site. */
  onVolume(volume: string, script: string): Promise<string>;
  remove(): Promise<void>;
}

/** Starts one from the files of this checkout, migrated. `name` and `prefix` (10.x.y) keep it apart from others. */
export async function startDatabaseSite(name: string, prefix: string): Promise<DatabaseSite> {
  const project = `gatehouse-test-${name}`;
  const places = placesOf(mkdtempSync(join(tmpdir(), `${project}-`)));
  // Containers of other users look into it.
  chmodSync(places.state, 0o755);
  writeFileSync(places.overrides, `EDGE_PREFIX=${prefix}\n`);
  const settings = loadSettings(ROOT, 'development', places);
  const settingsFile = join(places.state, 'merged.env');
  writeMergedSettings(settingsFile, settings);
  const init = await run('docker', ['run', '--rm', '--init', '--entrypoint', 'true', 'postgres:17']);
  const revisions = { BLUE_REVISION: name, GREEN_REVISION: name, TOOLS_REVISION: name, DATABASE_IMAGE_TAG: name };
  const variables = {
    ...revisions,
    STATE_DIR: places.state,
    SETTINGS_FILE: settingsFile,
    CONTAINER_INIT: String(init.code === 0),
  };
  const compose = createCompose({ project, source: ROOT, settingsFile, variables });
  const events: DatabaseSite['events'] = [];
  const report = createReporter({ json: true, terminal: false, write: (text) => void events.push(JSON.parse(text)) });
  const context: Context = { environment: 'development', project, places, settings, compose, report };

  async function remove(): Promise<void> {
    await compose.run(['--profile', '*', 'down', '-v', '--timeout', '1']);
    await run('docker', ['rmi', '-f', `gatehouse/database:${name}`, `gatehouse/tools:${name}`]);
    rmSync(places.state, { recursive: true, force: true });
  }
  try {
    await Promise.all(
      ['database', 'tools'].map((target) =>
        must('docker', ['build', '-q', '--target', target, '-t', `gatehouse/${target}:${name}`, ROOT]),
      ),
    );
    await ensureSecrets(context, { announce: () => undefined });
    await compose.must(['up', '-d', '--wait', '--no-deps', 'postgres', 'redis', 'backup']);
    await migrateDatabase(context, { contract: false });
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    context,
    events,
    remove,
    sql: (statement) => psql(context, statement),
    onVolume: (volume, script) =>
      must('docker', [
        'run',
        '--rm',
        '--network',
        'none',
        '-v',
        `${project}_${volume}:/volume`,
        '-w',
        '/volume',
        '--entrypoint',
        'bash',
        `gatehouse/database:${name}`,
        '-euc',
        script,
      ]),
  };
}
