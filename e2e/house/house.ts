import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { Platform } from '../../dev/src/platform.ts';
import { type Client, openClient } from '../client.ts';
import { noteCanaries } from './canaries.ts';

/** The platform of the run, as the tests see it. */
export interface House {
  url: string;
  httpUrl: string;
  mailboxUrl: string;
  /** Path of the authority's certificate. */
  ca: string;
  dataDir: string;
  logDir: string;
  secretsDir: string;
  settings: Record<string, string>;
  /** The superuser's address of the platform's database. */
  databaseUrl: string;
  redisUrl: string;
  /** Where the gateway looks for the upstream `own`, which a test file may be. */
  ownPort: number;
}

const VARIABLE = 'GATEHOUSE_E2E';

/** Hands the platform of the run on to the test files. */
export function publishHouse(platform: Platform, dataDir: string, ownPort: number): void {
  const { url, httpUrl, mailboxUrl, ca, logDir, secretsDir, settings, postgres, redis } = platform;
  const databaseUrl = postgres.adminUrl.replace(/[^/]+$/, settings['DATABASE_NAME'] ?? '');
  const house: House = {
    ...{ url, httpUrl, mailboxUrl, ca, dataDir, logDir, secretsDir, settings, databaseUrl, ownPort },
    redisUrl: redis.url,
  };
  process.env[VARIABLE] = JSON.stringify(house);
}

let known: House | undefined;

export function house(): House {
  known ??= JSON.parse(process.env[VARIABLE] ?? 'null') as House | undefined;
  if (!known) throw new Error('there is no platform: run with SUITE=e2e (make e2e)');
  return known;
}

let addresses = 0;

/** A loopback address that nobody has used: limits count by address, and tests must not meet each other's. */
export function freshAddress(): string {
  addresses += 1;
  const run = (process.pid + Number(process.env['JEST_WORKER_ID'] ?? 1)) % 250;
  const random = Math.floor(Math.random() * 250);
  return `127.${1 + run}.${random}.${1 + (addresses % 250)}`;
}

const opened = new Set<Client>();

interface VisitorOptions {
  from?: string;
  patient?: boolean;
  keepAlive?: boolean;
}

/** A client that waits when a limit says so, from an address of its own; every secret it sees is a canary. */
export function visitor({ from = freshAddress(), patient = true, keepAlive = true }: VisitorOptions = {}): Client {
  const { url, ca, dataDir } = house();
  const client = openClient({
    url,
    ca: readFileSync(ca, 'utf8'),
    from,
    keepAlive,
    ...(patient ? { onLimited: () => undefined } : {}),
    onExchange: (call, answer) => noteCanaries(join(dataDir, 'canaries'), call, answer),
  });
  opened.add(client);
  return client;
}

/** Closes the connections of a test file. */
export function closeVisitors(): void {
  for (const client of opened) client.close();
  opened.clear();
}

/** Runs one statement as the superuser, past every policy. */
export async function query<T extends object>(text: string, values: unknown[] = []): Promise<T[]> {
  const client = new pg.Client({ connectionString: house().databaseUrl });
  await client.connect();
  try {
    return (await client.query<T>(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** The log lines of a process that hold a text. */
export function logLines(name: string, holding: string): Record<string, unknown>[] {
  const file = readFileSync(join(house().logDir, `${name}.log`), 'utf8');
  return file
    .split('\n')
    .filter((line) => line.includes(holding))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
