import pg from 'pg';
import type { z } from 'zod';
import { asUnavailable, isUnusable } from './db-errors.ts';
import { type PoolMetrics, poolMetrics } from './db-metrics.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import { type Parameter, type Statement, statement } from './sql.ts';

export { isLost, sqlState, violates } from './db-errors.ts';
export { type Fragment, join, type Parameter, sql } from './sql.ts';
export {
  orgTransaction,
  platformTransaction,
  type TransactionHooks,
  transaction,
  transactionScope,
} from './transaction.ts';

export interface ConnectionSettings {
  host: string;
  port: number;
  database: string;
  user: string;
  password: string;
  /** Whether the server must show a certificate that this machine trusts. */
  tls?: boolean;
}

export interface PoolOptions extends ConnectionSettings {
  /** Connections at most. The sum over all processes stays 20 % under the server's max_connections. */
  max: number;
  /** How metrics, logs and pg_stat_activity name it. */
  name: string;
  log?: Logger;
  metrics?: Metrics;
}

interface Queryable {
  query(statement: Statement): Promise<pg.QueryResult>;
}

/** Runs single statements, each a transaction of its own. */
export interface Pool extends Queryable {
  readonly kind: 'pool';
  readonly name: string;
  /** The node-postgres pool, for what needs a connection of its own (COPY). */
  readonly pg: pg.Pool;
  /** A connection for one transaction; its holder releases it. */
  acquire(): Promise<Connection>;
  /** Closes every connection once it is idle. */
  end(): Promise<void>;
}

/** A transaction under way. */
export interface Tx extends Queryable {
  readonly kind: 'tx';
}

export type Db = Pool | Tx;

export interface Connection extends Queryable {
  /** Sends statements that have no parameters, several in one round trip. */
  send(text: string): Promise<pg.QueryResult>;
  /** Whether it must not serve again; set by what went wrong, or by who knows that its state is unclear. */
  unusable: boolean;
  release(): void;
}

const STATEMENT_TIMEOUT_MS = 5_000;
const LOCK_TIMEOUT_MS = 2_000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000;
const ACQUIRE_TIMEOUT_MS = 2_000;
// Beyond the server's own limit: it speaks up only when the server cannot, the network being gone.
const READ_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 2_000;
// Connections are renewed, so that after a failover or a scale-out they spread again.
const LIFETIME_SECONDS = 1_800;

/**
 * Opens a pool. Statements end after 5 s, waits for a lock after 2 s, idle transactions after 10 s and waits for a
 * connection after 2 s. An outage throws `dependency_unavailable`, a timeout in the database `overloaded`.
 */
export function openPool({ name, max, tls, log, metrics, ...connection }: PoolOptions): Pool {
  const pool = new pg.Pool({
    ...connection,
    max,
    ssl: tls === true,
    application_name: name,
    keepAlive: true,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    query_timeout: READ_TIMEOUT_MS,
    connectionTimeoutMillis: ACQUIRE_TIMEOUT_MS,
    idleTimeoutMillis: 30_000,
    maxLifetimeSeconds: LIFETIME_SECONDS,
    types: { getTypeParser },
  });
  const measure = metrics ? poolMetrics(metrics, name, pool) : undefined;
  // A connection that breaks while it is idle is dropped by the pool; unheard, this event would end the process.
  pool.on('error', (error) =>
    log?.warn('an idle database connection was lost', { pool: name, 'db.error': error.message }),
  );
  // The same for one in use, whose statement fails as well: pg reports there, here it is only heard.
  pool.on('connect', (client) => client.on('error', () => undefined));

  const acquire = async (): Promise<Connection> => connectionOf(await connected(pool, measure), measure);
  return {
    kind: 'pool',
    name,
    pg: pool,
    acquire,
    async query(statement) {
      const one = await acquire();
      try {
        return await one.query(statement);
      } catch (error) {
        throw asUnavailable(error);
      } finally {
        one.release();
      }
    },
    end: () => pool.end(),
  };
}

async function connected(pool: pg.Pool, measure: PoolMetrics | undefined): Promise<pg.PoolClient> {
  const startedAt = performance.now();
  try {
    const client = await pool.connect();
    measure?.waited((performance.now() - startedAt) / 1000);
    return client;
  } catch (error) {
    if (/timeout/.test((error as Error).message)) measure?.timedOut();
    throw asUnavailable(error);
  }
}

function connectionOf(client: pg.PoolClient, measure: PoolMetrics | undefined): Connection {
  const connection: Connection = {
    unusable: false,
    async query({ text, values, name, operation }) {
      const startedAt = measure ? performance.now() : 0;
      const result = await guarded(client.query(name === undefined ? { text, values } : { text, values, name }));
      measure?.queried(operation, (performance.now() - startedAt) / 1000);
      return result;
    },
    send: (text) => guarded(client.query(text)),
    release: () => client.release(connection.unusable),
  };
  async function guarded<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      connection.unusable ||= isUnusable(error);
      throw error;
    }
  }
  return connection;
}

type Tag<T> = (strings: TemplateStringsArray, ...values: Parameter[]) => Promise<T>;

/** Rows of a query, each parsed by the schema. */
export function many<S extends z.ZodType>(db: Db, row: S): Tag<z.output<S>[]> {
  return async (strings, ...values) => {
    const { rows } = await db.query(statement(strings, values));
    return rows.map((one) => parsed(row, one));
  };
}

/** The row of a query that has at most one; undefined when it has none. */
export function maybe<S extends z.ZodType>(db: Db, row: S): Tag<z.output<S> | undefined> {
  return async (strings, ...values) => {
    const { rows } = await db.query(statement(strings, values));
    if (rows.length > 1) throw new Error(`the query returned ${rows.length} rows instead of one at most`);
    return rows.length === 0 ? undefined : parsed(row, rows[0]);
  };
}

/** The row of a query that always has exactly one. */
export function one<S extends z.ZodType>(db: Db, row: S): Tag<z.output<S>> {
  return async (strings, ...values) => {
    const { rows } = await db.query(statement(strings, values));
    if (rows.length !== 1) throw new Error(`the query returned ${rows.length} rows instead of one`);
    return parsed(row, rows[0]);
  };
}

/** Runs a statement for its effect; tells how many rows it touched. */
export function run(db: Db): Tag<number> {
  return async (strings, ...values) => (await db.query(statement(strings, values))).rowCount ?? 0;
}

function parsed<S extends z.ZodType>(schema: S, row: unknown): z.output<S> {
  const result = schema.safeParse(row);
  if (result.success) return result.data;
  // Wrapped, so that nothing takes our own mistake for a client's.
  throw new Error('a row is not of the form that its query declares', { cause: result.error });
}

const INT8 = 20;
const DATE = 1082;

/** As pg does, but bigint as a number where that is exact, and a date as its text: as a Date it would shift with the zone. */
function getTypeParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
  if (oid === INT8) return (value) => (Number.isSafeInteger(Number(value)) ? Number(value) : value);
  if (oid === DATE) return (value) => value;
  return pg.types.getTypeParser(oid, format);
}
