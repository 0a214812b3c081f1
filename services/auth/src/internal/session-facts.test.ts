import { factKey, SessionFacts } from '@gatehouse/contracts/facts';
import { newId } from '@gatehouse/kit/ids';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AuthUnderTest, signedIn, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

const gateway = () => auth.as({ kind: 'service', sub: 'gateway' });
const askAll = (session_ids: string[]) => gateway().post('/internal/sessions', { session_ids });

test('many sessions are answered at once, each as alone; one that there is not is null and not cached', async () => {
  const [one, admin, over, disabled] = [
    await signedIn(auth),
    await signedIn(auth, 'admin'),
    await signedIn(auth),
    await signedIn(auth),
  ];
  expect((await over.session.post('/api/auth/logout')).status).toBe(204);
  await auth.rows(`update auth.users set status = 'disabled' where id = $1`, [disabled.user.id]);
  const unknown = newId();
  const ids = [one, admin, over, disabled].map(({ session }) => session.session_id);

  const { status, body } = await askAll([...ids, unknown, ids[0] as string]);

  expect(status).toBe(200);
  const { sessions } = SessionFacts.parse(body);
  expect(Object.keys(sessions).sort()).toEqual([...ids, unknown].sort());
  expect(ids.map((id) => [sessions[id]?.user_id, sessions[id]?.role, sessions[id]?.active])).toEqual([
    [one.user.id, 'user', true],
    [admin.user.id, 'admin', true],
    [over.user.id, 'user', false],
    [disabled.user.id, 'user', false],
  ]);
  expect(sessions[unknown]).toBeNull();
  const keys = [...ids, unknown].map(factKey.session);
  const cached = await auth.deps.facts.read(keys);
  // The one that was ended a moment ago has a tombstone.
  expect(cached.map((text) => text !== undefined)).toEqual([true, true, false, true, false]);
  for (const id of ids) expect((await gateway().get(`/internal/sessions/${id}`)).body).toEqual(sessions[id]);
});

test('S031 a session that ends is told as ended in the very next answer', async () => {
  const { session } = await signedIn(auth);
  const active = async () => (await askAll([newId(), session.session_id])).body.sessions[session.session_id].active;
  expect(await active()).toBe(true);
  expect((await session.post('/api/auth/logout')).status).toBe(204);
  expect(await active()).toBe(false);
  expect(await auth.deps.facts.read([factKey.session(session.session_id)])).toEqual([undefined]);
});

test('five hundred are taken at once, by the gateway alone; one more or what is no id is not', async () => {
  const ids = Array.from({ length: 501 }, () => newId());
  expect((await askAll(ids.slice(1))).status).toBe(200);
  for (const wrong of [ids, [], ['me']]) expect((await askAll(wrong)).status).toBe(400);
  const { session } = await signedIn(auth);
  expect((await session.post('/internal/sessions', { session_ids: [session.session_id] })).status).toBe(404);
});
