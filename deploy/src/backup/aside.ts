import { must, run } from '../command.ts';
import type { Context } from '../context.ts';
import { databaseImage, psqlIn, volumeOf } from './database.ts';
import { withScratch } from './scratch.ts';

const DATA = '/var/lib/postgresql/data';
const CURRENT = 'pgdata';
const OPENING_MS = 10 * 60_000;

/** Runs a script of bash on the volume of the database, in a container that has nothing else. */
async function onVolume(context: Context, script: string, args: readonly string[] = []): Promise<string> {
  const volume = `${volumeOf(context, 'postgres-data')}:${DATA}`;
  const options = ['--rm', '--network', 'none', '--user', '999:999', '--cap-drop', 'ALL', '-v', volume, '-w', DATA];
  const command = ['--entrypoint', 'bash', databaseImage(context), '-euc', script, 'bash', ...args];
  return (await must('docker', ['run', ...options, ...command])).trim();
}

/** Renames the cluster within its volume, so that it can be looked at or put back; undefined where there is none. */
export async function moveAside(context: Context): Promise<string | undefined> {
  const name = `aside-${new Date()
    .toISOString()
    .replace(/[^0-9T]/g, '')
    .slice(0, 15)}`;
  const script = `[ -e ${CURRENT} ] || exit 0; [ -s ${CURRENT}/PG_VERSION ] || { rm -rf ${CURRENT}; exit 0; }
    mv ${CURRENT} "$1"; echo "$1"`;
  return (await onVolume(context, script, [name])) || undefined;
}

/** The other way round; what a failed restore left goes. */
export async function putBack(context: Context, aside: string): Promise<void> {
  await onVolume(context, `rm -rf ${CURRENT}; mv "$1" ${CURRENT}`, [aside]);
}

/** Removes every cluster that was moved aside. */
export async function removeAsides(context: Context): Promise<void> {
  await onVolume(context, 'rm -rf aside-*');
}

/** Bytes of the cluster in the volume, 0 where there is none. */
export async function clusterBytes(context: Context): Promise<number> {
  const script = `[ -e ${CURRENT} ] && du -sb ${CURRENT} 2>/dev/null | cut -f1 || echo 0`;
  return Number(await onVolume(context, script).catch(() => '0'));
}

// What an attacker could profit from: somebody took it away after the moment that was restored, and it is back.
const REVOKED = `
  with revived as (
    select 1 as rank, k.revoked_at as at,
      format('API key %s… (%s) of organization %s was revoked', k.prefix, k.name, k.org_id) as what
    from org.api_keys k where k.revoked_at > '%AT%'
    union all
    select 2, u.updated_at, format('%s is %s', u.email, u.status)
    from auth.users u where u.status <> 'active' and u.updated_at > '%AT%'
    union all
    select 3, l.occurred_at, format('%s %s%s', l.type, coalesce(l.target_type || ' ', ''), coalesce(l.target_id, ''))
    from audit.log l where l.occurred_at > '%AT%' and l.outcome = 'success'
      and l.type ~ '(revoked|disabled|removed|deleted|suspended|role_changed|password_(changed|reset)|factor|locked)'
  )
  select to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '  ' || what from revived order by rank, at`;

/**
 * What was revoked after the restored moment, read from the cluster that was moved aside. Undefined when that cluster
 * does not start any more.
 */
export async function revokedSince(context: Context, aside: string, at: Date): Promise<string[] | undefined> {
  const data = { volume: volumeOf(context, 'postgres-data'), folder: aside };
  const database = context.settings['DATABASE_NAME'] ?? 'gatehouse';
  try {
    return await withScratch(context, { args: ['--no-restore'], data, timeoutMs: OPENING_MS }, async ({ id }) => {
      const text = await psqlIn(id, REVOKED.replaceAll('%AT%', at.toISOString()), database);
      // Ended properly, since it may yet be put back.
      await run('docker', ['stop', '-t', '60', id]);
      return text.split('\n').filter(Boolean);
    });
  } catch {
    return undefined;
  }
}
