import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AuthUnderTest, signedIn, startAuth } from '../testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());

async function organization(owners: string[]): Promise<void> {
  const id = randomUUID();
  const { id: viewer } = await auth.user();
  await auth.rows(`insert into org.organizations (id, name, slug, created_by) values ($1, 'Acme', $2, $1)`, [
    id,
    `acme-${id.slice(0, 8)}`,
  ]);
  for (const [user, role] of [...owners.map((owner) => [owner, 'owner']), [viewer, 'viewer']])
    await auth.rows('insert into org.members (org_id, user_id, role) values ($1, $2, $3)', [id, user, role]);
}

const close = ({ session }: Awaited<ReturnType<typeof signedIn>>) => session.delete('/api/auth/me');

test('ACC: an owner whose account is closing or disabled is none that another one could leave to', async () => {
  for (const [column, value] of [
    ['deletion_due_at', new Date()],
    ['disabled_at', new Date()],
  ] as const) {
    const [one, other] = [await signedIn(auth), await signedIn(auth)];
    await organization([one.user.id, other.user.id]);
    await auth.rows(`update auth.users set status = 'disabled', ${column} = $2 where id = $1`, [one.user.id, value]);
    expect(await close(other)).toMatchObject({ status: 409, body: { code: 'org.last_owner' } });
  }
});

// Seen to fail without the lock on the organization: both went.
test('ACC: of two owners who close their accounts at one instant one stays', async () => {
  for (let round = 0; round < 10; round++) {
    const owners = [await signedIn(auth), await signedIn(auth)];
    await organization(owners.map(({ user }) => user.id));
    const answers = await Promise.all(owners.map(close));
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 409]);
  }
});
