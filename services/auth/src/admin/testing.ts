import { randomUUID } from 'node:crypto';
import type { Client } from '@gatehouse/testkit/server';
import { type AuthUnderTest, PASSWORD } from '../testing.ts';

export const REASON = 'asked for by the owner in ticket 4711';

/** What administrators do in these tests, and what the log says of it. */
export function administration(auth: () => AuthUnderTest) {
  /** An administrator with a second factor and fresh proof, as the gateway presents them. */
  async function admin() {
    const { id, email } = await auth().user({ role: 'admin' });
    const sid = randomUUID();
    return { id, email, ...auth().as({ kind: 'user', sub: id, sid, role: 'admin' }) };
  }

  const act = (who: Client, userId: string, action: string, body: unknown = { reason: REASON }) =>
    who.post(`/api/admin/users/${userId}/${action}`, body);
  const role = (who: Client, userId: string, to: string) =>
    who.patch(`/api/admin/users/${userId}`, { role: to, reason: REASON });
  const about = async (type: string, userId: string) =>
    (await auth().events(type)).filter(({ data }) => data['user_id'] === userId);
  const login = (email: string) => auth().anonymous.post('/api/auth/login', { email, password: PASSWORD });

  return { admin, act, role, about, login };
}
