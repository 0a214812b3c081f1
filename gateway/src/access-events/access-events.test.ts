import { randomUUID } from 'node:crypto';
import type { Pool } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { createLogger } from '@gatehouse/kit/log';
import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { REFUSALS } from '../errors/problem.ts';
import { Exchange } from '../exchange.ts';
import { createAccessEvents } from './access-events.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase({ units: ['platform'] });
});
afterAll(() => database.close());

const log = createLogger({ service: 'gateway', version: '0', environment: 'test', level: 'error' });
log.silent = true;

function refused(requestId: string): Exchange {
  const req = { method: 'GET', socket: {} } as never;
  const exchange = new Exchange(req, undefined, {} as never, { forward: [] } as never, '/r');
  exchange.requestId = requestId;
  return exchange;
}

// What the database has of a batch is not known when the answer to it is lost: the batch goes out again as it was.
test('F14 a batch whose commit was not acknowledged is recorded once, and what comes after it too', async () => {
  const real = database.pool('gateway');
  let lost = 1;
  const losing: Pool = {
    ...real,
    async query(statement) {
      const result = await real.query(statement);
      if (lost-- > 0) throw new AppError('dependency_unavailable');
      return result;
    },
  };
  const events = createAccessEvents({ db: losing, log, dropped: () => undefined });
  const [first, second] = [randomUUID(), randomUUID()];

  events.record(refused(first), REFUSALS.badCredential);
  await events.flush();
  events.record(refused(second), REFUSALS.badCredential);
  await events.flush();
  await events.close();

  const { rows } = await database
    .pool('admin')
    .pg.query('select o.request_id from events.outbox o order by o.position');
  expect(rows.map(({ request_id }) => request_id)).toEqual([first, second]);
});
