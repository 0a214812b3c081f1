import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { client } from '@gatehouse/testkit/server';
import { type House, OWNER } from './house.ts';
import { quantile } from './load.ts';
import { atLeast, atMost, type Line } from './report.ts';
import { figure, interleave } from './rounds.ts';

const ROUNDS = 4;
const PER_ROUND = 40;
const CORES = availableParallelism();
// Twice the cores: the next one always waits when a core is done.
const CONCURRENCY = 2 * CORES;
const ME_EVERY_MS = 40;

/**
 * Logins through auth, each of another account, against as many comparisons by bcrypt itself; and what someone who
 * asks for something else waits meanwhile.
 */
export async function measureLogins(house: House): Promise<Line[]> {
  const accounts = await makeAccounts(house);
  const bcrypt = await startBcrypt(Number(house.platform.settings['BCRYPT_COST']));
  const waits: number[] = [];
  try {
    const rounds = await interleave(
      ROUNDS,
      async () => {
        const stop = askForMe(house, waits);
        return logIn(house, accounts).finally(stop);
      },
      () => bcrypt.compare(PER_ROUND, CONCURRENCY),
    );
    const ratio = figure(rounds.map(({ subject, baseline }) => baseline / subject));
    const rate = figure(rounds.map(({ subject }) => PER_ROUND / subject)).median;
    const p99 = quantile(waits, 0.99);
    return [
      atLeast('logins/s, of raw bcrypt on the same cores', ratio, 0.9, `: ${rate.toFixed(1)}/s`),
      atMost(
        '  p99 of GET /api/auth/me meanwhile',
        { median: p99, low: quantile(waits, 0.5), high: Math.max(...waits) },
        250,
        ' ms',
      ),
    ];
  } finally {
    bcrypt.stop();
  }
}

/** Accounts with the owner's password: his row, copied. */
function makeAccounts({ asAdmin, userId }: House): Promise<string[]> {
  return asAdmin(async (admin) => {
    await admin.query(`create temp table copies as
      select u.* from auth.users u, generate_series(1, ${PER_ROUND}) where u.id = '${userId}'`);
    await admin.query(`update copies set id = gen_random_uuid(), role = 'user'`);
    await admin.query(`update copies set email = id || '@gatehouse.test'`);
    await admin.query('insert into auth.users select * from copies');
    const { rows } = await admin.query<{ email: string }>('select email from copies');
    return rows.map(({ email }) => email);
  });
}

/** Seconds until every account is logged in. */
async function logIn({ platform, identityFor }: House, accounts: string[]): Promise<number> {
  const auth = client(platform.process('auth').url, identityFor('auth', 'anonymous'));
  const waiting = [...accounts];
  const start = performance.now();
  const work = async () => {
    for (let email = waiting.pop(); email; email = waiting.pop()) {
      const { status, body } = await auth.post('/api/auth/login', { email, password: OWNER.password });
      if (status !== 200) throw new Error(`login failed: ${status} ${JSON.stringify(body)}`);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return (performance.now() - start) / 1000;
}

/** Reads the owner's account 25 times a second, on time and not after the answer before, until it is stopped. */
function askForMe({ platform, identityFor }: House, waits: number[]): () => void {
  const auth = client(platform.process('auth').url, identityFor('auth', 'owner'));
  const timer = setInterval(async () => {
    const start = performance.now();
    const { status } = await auth.get('/api/auth/me').catch(() => ({ status: 0 }));
    waits.push(status === 200 ? performance.now() - start : Number.POSITIVE_INFINITY);
  }, ME_EVERY_MS);
  return () => clearInterval(timer);
}

async function startBcrypt(cost: number) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'bcrypt-loop.ts'), String(cost)], {
    env: { UV_THREADPOOL_SIZE: String(CORES) },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  await once(lines, 'line');
  return {
    /** Seconds that so many comparisons take. */
    async compare(count: number, concurrency: number): Promise<number> {
      // The machine settles: what the logins left behind is not the baseline's to pay.
      await delay(200);
      child.stdin.write(`${count} ${concurrency}\n`);
      const [line] = await once(lines, 'line');
      return Number(String(line).split(' ')[1]);
    },
    stop: () => child.stdin.end(),
  };
}
