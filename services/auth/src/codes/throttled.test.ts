import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { challenge, person, withEmail } from '../factors/test-factors.ts';
import { type AuthUnderTest, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const refusedTo = async (id: string) =>
  (await auth.events('auth.factor_refused.v1')).filter(({ data }) => data['user_id'] === id);

// Without the record a code that was not mailed any more left no row.
test('MFA: each code that is asked for beyond what is mailed is on record, wherever it is asked for', async () => {
  const one = await person(auth);
  for (let n = 0; n < 3; n++) expect((await one.session.post('/api/auth/factors/email')).status).toBe(202);
  expect((await one.session.post('/api/auth/factors/email')).status).toBe(429);
  expect(await refusedTo(one.id)).toMatchObject([
    { outcome: 'denied', data: { method: 'email', reason: 'throttled', session_id: expect.any(String) } },
  ]);

  const other = await withEmail(auth, await person(auth));
  const challenge_token = await challenge(auth, other);
  for (const status of [202, 202, 202, 429])
    expect((await auth.anonymous.post('/api/auth/challenge/code', { challenge_token })).status).toBe(status);
  for (const status of [202, 202, 202, 429])
    expect((await other.session.post('/api/auth/reauthenticate/code')).status).toBe(status);
  expect((await refusedTo(other.id)).map(({ outcome, data }) => ({ outcome, ...data }))).toMatchObject([
    { outcome: 'denied', reason: 'throttled', challenge_id: expect.any(String) },
    { outcome: 'denied', reason: 'throttled', session_id: expect.any(String) },
  ]);
});
