import { createReadStream, createWriteStream, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { systemClock } from '@gatehouse/kit/clock';
import { openPool, type Pool } from '@gatehouse/kit/db';
import type pg from 'pg';
import copy from 'pg-copy-streams';
import { seal } from '../services/audit/src/sealing/seal.ts';
import type { House } from './house.ts';
import { atLeast, type Line } from './report.ts';
import { figure, interleave } from './rounds.ts';

const ROUNDS = 4;
const EVENTS = 60_000;

/**
 * Sealing what waits in the outbox against COPY of the very same rows into the same empty table with its indexes, over
 * one connection. The sealer's code runs in this process, with its own pool and role; the service is stopped.
 */
export async function measureSealing(house: House): Promise<Line[]> {
  const { platform } = house;
  await platform.process('audit').stop();
  const { DATABASE_HOST: host = '', DATABASE_PORT, DATABASE_NAME: database = '' } = platform.settings;
  const pool = openPool({
    host,
    port: Number(DATABASE_PORT),
    database,
    user: 'gatehouse_audit',
    password: platform.databasePasswords.audit,
    max: 2,
    name: 'bench',
  });
  const file = join(platform.logDir, 'sealed-rows');
  try {
    return await house.asAdmin(async (admin) => {
      // Lets the superuser empty what is append-only.
      await admin.query('set session_replication_role = replica');
      const rounds = await interleave(
        ROUNDS,
        async () => {
          await empty(admin);
          await fillOutbox(admin);
          const seconds = await timed(() => sealAll(pool));
          await pipeline(admin.query(copy.to('copy audit.log to stdout')), createWriteStream(file));
          return seconds;
        },
        async () => {
          await empty(admin);
          return timed(() => pipeline(createReadStream(file), admin.query(copy.from('copy audit.log from stdin'))));
        },
      );
      const ratio = figure(rounds.map(({ subject, baseline }) => baseline / subject));
      const rate = EVENTS / figure(rounds.map(({ subject }) => subject)).median;
      return [atLeast('audit sealing: events/s, of COPY into the same table', ratio, 0.5, `: ${rate.toFixed(0)}/s`)];
    });
  } finally {
    rmSync(file, { force: true });
    await pool.end();
    platform.process('audit').start();
    await platform.process('audit').ready();
  }
}

async function sealAll(pool: Pool): Promise<void> {
  let sealed = 0;
  for (let more = true; more; ) {
    const sealing = await seal(pool, { clock: systemClock });
    sealed += sealing.sealed.length;
    more = sealing.more;
  }
  if (sealed !== EVENTS) throw new Error(`${sealed} of ${EVENTS} events were sealed`);
}

async function empty(admin: pg.Client): Promise<void> {
  await admin.query('truncate audit.log, events.outbox');
  await admin.query(`update audit.head set seq = 0, hash = decode(repeat('00', 32), 'hex')`);
  await admin.query('checkpoint');
}

async function fillOutbox(admin: pg.Client): Promise<void> {
  await admin.query(`
    insert into events.outbox (id, type, kind, org_id, actor, target_type, target_id, outcome, address, agent,
                               request_id, trace_id, data)
    select gen_random_uuid(), 'org.member_role_changed.v1', 'change',
           ('018f0000-0000-7000-8000-0000000000' || to_char(n % 20, 'FM00'))::uuid,
           jsonb_build_object('kind', 'user', 'user_id', md5((n % 100)::text)::uuid, 'session_id', gen_random_uuid(),
                              'role', 'user'),
           'user', md5(n::text)::uuid, 'success', '192.0.2.' || n % 250,
           'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', md5('r' || n), md5('t' || n),
           jsonb_build_object('user_id', md5(n::text)::uuid, 'role', 'analyst', 'previous_role', 'viewer')
    from generate_series(1, ${EVENTS}) n`);
  await admin.query('vacuum analyze events.outbox');
  await admin.query('checkpoint');
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
