import { openPool, type Pool } from '@gatehouse/kit/db';
import { createLogger } from '@gatehouse/kit/log';
import { createMetrics } from '@gatehouse/kit/metrics';
import { identityHeaders, testVerifier } from '@gatehouse/testkit/identities';
import { type Client, client, type Listening, listen } from '@gatehouse/testkit/server';
import { prepareDatabase } from '../dev/src/data.ts';
import { ROOT } from '../dev/src/platform.ts';
import { createApp } from '../services/audit/src/app.ts';
import type { House } from './house.ts';
import { quantile } from './load.ts';
import { fillLog, ORGS, timeOf } from './log-rows.ts';
import { atMost, type Line } from './report.ts';
import { figure, interleave } from './rounds.ts';

const ROUNDS = 5;
const PAGES_PER_ORG = 10;

interface Shelf {
  audit: Client;
  pages: { path: string; org: string }[];
  close(): Promise<void>;
}

/**
 * Pages from the middle of the log in a database with `large` rows against one with `small` rows: through HTTP, at the
 * service's app with a pool, one after the other, warm.
 */
export async function measureLogPages(house: House, small: number, large: number): Promise<Line[]> {
  const shelves: Shelf[] = [];
  try {
    for (const rows of [small, large]) shelves.push(await openShelf(house, rows));
    const [of, times] = shelves as [Shelf, Shelf];
    const rounds = await interleave(
      ROUNDS,
      () => turnPages(times),
      () => turnPages(of),
    );
    const ratio = figure(rounds.map(({ subject, baseline }) => subject / baseline));
    const ms = rounds.map(({ subject }) => subject).sort()[Math.floor(ROUNDS / 2)] ?? 0;
    const what = `page of the log: median time at ${large / 1e6} M rows, times that at ${small / 1e6} M`;
    return [atMost(what, ratio, 1.3, '', `: ${ms.toFixed(2)} ms`)];
  } finally {
    for (const shelf of shelves) await shelf.close();
  }
}

async function openShelf({ platform }: House, rows: number): Promise<Shelf> {
  const database = `log_${rows}`;
  const { settings, secretsDir } = platform;
  await prepareDatabase(platform.postgres, {
    settings: { ...settings, DATABASE_NAME: database },
    secretsDir,
    root: ROOT,
    freshSecrets: false,
  });
  await fillLog(platform.postgres, database, rows);
  const pool = openPool({
    host: platform.postgres.host,
    port: platform.postgres.port,
    database,
    user: 'gatehouse_audit',
    password: platform.databasePasswords.audit,
    max: 4,
    name: database,
  });
  const server = await serveLog(pool);
  const audit = client(server.url);
  const shelf = { audit, pages: await findPages(audit, rows) };
  return { ...shelf, close: () => server.close().finally(() => pool.end()) };
}

function serveLog(pool: Pool): Promise<Listening> {
  const log = createLogger({ service: 'bench', version: '0', environment: 'bench', level: 'error' });
  const metrics = createMetrics({ version: '0', revision: '0' });
  return listen(createApp({ pool, log, metrics, verifier: testVerifier('audit') }));
}

const asOwner = (org: string) => identityHeaders('audit', { org: { id: org, role: 'owner' } });

/** Requests for pages all over the log of several organizations, each by the cursor of the page before it. */
async function findPages(audit: Client, rows: number): Promise<Shelf['pages']> {
  const pages: Shelf['pages'] = [];
  for (const org of ORGS.slice(0, 5)) {
    for (let page = 0; page < PAGES_PER_ORG; page++) {
      const to = timeOf((rows * (page + 0.5)) / PAGES_PER_ORG).toISOString();
      const path = `/api/org/${org}/audit?limit=50&to=${to}`;
      const { status, body } = await audit.get(path, asOwner(org));
      if (status !== 200 || !body.next_cursor) throw new Error(`no page before ${to}: ${JSON.stringify(body)}`);
      pages.push({ path: `${path}&cursor=${encodeURIComponent(body.next_cursor)}`, org });
    }
  }
  return pages;
}

/** Milliseconds that a page takes in the median; each is read four times, so that it is warm. */
async function turnPages({ audit, pages }: Shelf): Promise<number> {
  // New ones for each round: they are good for a minute, and filling a large log takes several.
  const identities = new Map(ORGS.map((org) => [org, asOwner(org)]));
  const times: number[] = [];
  for (let turn = 0; turn < 4; turn++)
    for (const { path, org } of pages) {
      const headers = identities.get(org);
      const start = performance.now();
      const { status, body } = await audit.get(path, headers);
      times.push(performance.now() - start);
      if (status !== 200 || body.data.length !== 50) throw new Error(`no full page: ${status} ${path}`);
    }
  return quantile(times, 0.5);
}
