import { type TestDatabase, testDatabase } from '@gatehouse/testkit/database';
import { afterAll, beforeAll, expect, test } from '@jest/globals';

// A page must cost the same whatever the log holds, so no page may read the log, or all of somebody's rows, as a whole.
const ROWS = 20_000;
const ORG = '018f0000-0000-7000-8000-000000000001';
// One of twenty events happens to this one; the others have 38 each.
const BUSY = '018f0000-0000-7000-8000-000000000002';
let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
  const connection = await db.pool('admin').pg.connect();
  try {
    await connection.query(
      `insert into audit.log (seq, id, type, kind, org_id, actor_kind, actor_id, actor, target_type, target_id, outcome,
                              address, agent, data, occurred_at, sealed_at, hash)
       select n, gen_random_uuid(), 'auth.login_failed.v1',
              case when n % 1000 = 0 then 'admin_action' else 'security' end, '${ORG}'::uuid, 'user', whose.id,
              '{"kind":"user"}', 'user', whose.id, 'failure', '', '',
              jsonb_build_object('user_id', whose.id), now() - n * interval '1 s', now(), ''
       from generate_series(1, ${ROWS}) n,
            lateral (select case when n % 20 = 0 then '${BUSY}' else md5((n % 500)::text)::uuid::text end as id) whose`,
    );
    await connection.query('analyze audit.log');
    await connection.query('analyze audit.account_events');
  } finally {
    connection.release();
  }
}, 60_000);
afterAll(() => db.close());

/** The plan of a statement as the service's role makes it. */
async function planOf(statement: string): Promise<string> {
  const connection = await db.pool('audit').pg.connect();
  try {
    await connection.query(`begin; set local gatehouse.platform = 'on'`);
    const { rows } = await connection.query(`explain ${statement}`);
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  } finally {
    await connection.query('rollback');
    connection.release();
  }
}

const from = (where: string) =>
  `select l.id from audit.log l where ${where} order by l.occurred_at desc, l.seq desc limit 51`;
const history = (user: string) => `
  select l.id
  from (
    select e.seq from audit.account_events e
    where e.user_id = '${user}' and e.type = any('{auth.login_failed.v1}'::text[])
    order by e.occurred_at desc, e.seq desc limit 51
  ) page join audit.log l on l.seq = page.seq
  order by l.occurred_at desc, l.seq desc`;

test.each([
  ['admin actions', from(`l.kind = 'admin_action'`), 'log_admin_time'],
  ['what was done to somebody', from(`l.org_id = '${ORG}' and l.target_id = '${BUSY}'`), 'log_target_org_time'],
  ['what somebody did', from(`l.org_id = '${ORG}' and l.actor_id = '${BUSY}'`), 'log_actor_org_time'],
])('a page of %s reads an index, in its order', async (_, statement, index) => {
  const plan = await planOf(statement);
  expect(plan).toContain(index);
  expect(plan).not.toMatch(/Seq Scan|Bitmap|Hash|Sort/);
});

test.each([
  ['many', BUSY, /Scan Backward using account_events_pkey/],
  ['few', '018f0000-0000-7000-8000-000000000003', /Scan (Backward using|on) account_events_pkey/],
])('the own sign-ins, %s of them, are found by their own index, without reading the log', async (_, user, index) => {
  const plan = await planOf(history(user));
  expect(plan).toMatch(index);
  expect(plan).toContain('log_pkey');
  expect(plan).not.toMatch(/Seq Scan|Hash/);
});
