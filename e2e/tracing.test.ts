import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { closeVisitors, logLines, query, visitor } from './house/house.ts';
import { company, type Person } from './house/people.ts';
import { until } from './house/wait.ts';

let person: Person;
beforeAll(async () => {
  person = (await company(['viewer'])).people.viewer;
}, 60_000);
afterAll(closeVisitors);

test('one sign-in has one id, in the answer, the logs of nginx, gateway and auth, and the record', async () => {
  const client = visitor();
  const { email, password } = person;
  // A client's own ids must not take the place of ours.
  const answer = await client.post(
    '/api/auth/login',
    { email, password },
    {
      'x-request-id': 'client-chosen',
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
    },
  );
  const id = String(answer.headers['x-request-id']);
  expect(id).toMatch(/^[0-9a-f]{32}$/);

  for (const name of ['nginx-access', 'gateway', 'auth']) {
    const lines = await until(
      `${name} has a line of ${id}`,
      5000,
      () => logLines(name, id),
      (found) => found.length > 0,
    );
    for (const line of lines) expect({ name, ...line }).toMatchObject({ request_id: id, trace_id: id });
    // One line a process says how it was served.
    const served = lines.filter((line) => line['http.response.status_code'] === 200);
    expect({ name, served: served.length }).toEqual({ name, served: 1 });
  }
  const text = 'select request_id, trace_id, type from audit.log where request_id = $1';
  const rows = await until('the event is sealed', 10_000, () => query<Row>(text, [id]), hasAny);
  for (const row of rows) expect(row).toMatchObject({ request_id: id, trace_id: id });
  expect(rows.map(({ type }) => type)).toContain('auth.login_succeeded.v1');
});

interface Row {
  request_id: string;
  trace_id: string;
  type: string;
}
const hasAny = (rows: unknown[]) => rows.length > 0;
