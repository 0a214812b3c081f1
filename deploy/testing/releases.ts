// Releases that go wrong, each in its own way, as commits on a site's checkout.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../src/command.ts';
import type { Site } from './site.ts';

/** The same again under another number. */
export function nextVersion(site: Site, version: string): Promise<string> {
  return site.commit(`Release ${version}`, (edit) =>
    edit('package.json', (text) => text.replace(/"version": "[^"]+"/, `"version": "${version}"`)),
  );
}

/** Its org service ends at its start. */
export function neverHealthy(site: Site): Promise<string> {
  return site.commit('Never healthy', (edit) =>
    edit('services/org/src/main.ts', (text) => `${text}\nthrow new Error('this release never gets healthy');\n`),
  );
}

/** Passes every gate, and fails at its main job once clients have used it for a second or so. */
export function failsInUse(site: Site): Promise<string> {
  return site.commit('Fails in use', (edit) =>
    edit('services/auth/src/accounts/routes.ts', (text) =>
      text
        .replace(
          'handle: ({ actor }) => getMe(deps, actor),',
          `handle: ({ actor }) => {
        served += 1;
        if (served > 100) throw new Error('this release fails in use');
        return getMe(deps, actor);
      },`,
        )
        .replace('export function accountRoutes', 'let served = 0;\nexport function accountRoutes'),
    ),
  );
}

/** Its second migration is wrong, after the first one was applied. */
export async function migrationFails(site: Site): Promise<string> {
  const dir = join(site.checkout, 'services/org/migrations');
  writeFileSync(join(dir, '9001_fine.sql'), '-- expand\ncreate table org.fine (id bigint primary key);\n');
  writeFileSync(
    join(dir, '9002_wrong.sql'),
    '-- expand\ncreate table org.wrong (id bigint primary key);\nselect 1 / 0;\n',
  );
  return commitAll(site, 'A migration that fails half-way');
}

/** Adds a table, as a release that is rolled back later does. */
export async function migrates(site: Site): Promise<string> {
  const dir = join(site.checkout, 'services/audit/migrations');
  writeFileSync(join(dir, '9001_more.sql'), '-- expand\ncreate table audit.more (id bigint primary key);\n');
  return commitAll(site, 'A migration');
}

export function doesNotBuild(site: Site): Promise<string> {
  return site.commit('Does not build', (edit) =>
    edit('Dockerfile', (text) => text.replace('FROM platform AS org\n', 'FROM platform AS org\nRUN exit 3\n')),
  );
}

async function commitAll(site: Site, message: string): Promise<string> {
  await must('git', ['-C', site.checkout, 'add', '-A']);
  await must('git', ['-C', site.checkout, 'commit', '-qm', message]);
  return (await must('git', ['-C', site.checkout, 'rev-parse', '--short=12', 'HEAD'])).trim();
}
