import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, startAuth } from '../testing.ts';
import { administration } from './testing.ts';

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth.close());
const { admin, act } = administration(() => auth);

describe('the search', () => {
  test('finds by the beginning of address or name, in any case, and takes no character for a pattern', async () => {
    const who = await admin();
    const tag = randomUUID().slice(0, 8);
    const made = [];
    for (const [email, name] of [
      [`${tag}-one@users.test`, 'Plain'],
      [`${tag}%two@users.test`, 'Plain'],
      [`${tag}_three@users.test`, 'Plain'],
      [`x-${tag}@users.test`, `${tag.toUpperCase()} Åsa \\ 100%`],
    ] as const) {
      const user = await auth.user({ email });
      await auth.rows('update auth.users set name = $2 where id = $1', [user.id, name]);
      made.push(user.id);
    }
    const found = async (q: string) =>
      (await who.get(`/api/admin/users?q=${encodeURIComponent(q)}`)).body.data.map(({ id }: { id: string }) => id);

    expect((await found(tag)).sort()).toEqual([...made].sort());
    expect(await found(`${tag}-ONE@`)).toEqual([made[0]]);
    expect(await found(`${tag}%`)).toEqual([made[1]]);
    expect(await found(`${tag}_`)).toEqual([made[2]]);
    expect(await found(`${tag} åsa \\`)).toEqual([made[3]]);
    for (const q of ['%', '_', '%%%%%%', '\\', "'; drop table auth.users; --", `%${tag}`])
      expect(await found(q)).toEqual([]);
    expect((await who.get('/api/admin/users?q=')).status).toBe(400);
    expect((await who.get('/api/admin/users?q=a%00b')).status).toBe(400);
    expect((await who.get(`/api/admin/users?q=${'x'.repeat(5000)}`)).status).toBe(400);
    expect((await who.get('/api/admin/users?sort=password_hash')).status).toBe(400);
  });

  test('narrows by status and role, and pages without loss or double while users come', async () => {
    const who = await admin();
    const tag = randomUUID().slice(0, 8);
    const users = [];
    for (let n = 0; n < 7; n++) users.push(await auth.user({ email: `${tag}-${n}@users.test` }));
    await act(who, users[0]?.id ?? '', 'disable');
    await act(who, users[1]?.id ?? '', 'delete');

    const ids: string[] = [];
    let cursor = '';
    do {
      const { body } = await who.get(`/api/admin/users?q=${tag}&limit=2${cursor}`);
      ids.push(...body.data.map(({ id }: { id: string }) => id));
      await auth.user({ email: `${tag}-late-${ids.length}@users.test` });
      cursor = body.next_cursor ? `&cursor=${body.next_cursor}` : '';
    } while (cursor);
    expect(ids.slice(-7).sort()).toEqual(users.map(({ id }) => id).sort());
    expect(new Set(ids).size).toBe(ids.length);

    const count = async (filter: string) =>
      (await who.get(`/api/admin/users?q=${tag}&${filter}`)).body.data.map(({ id }: { id: string }) => id);
    expect(await count('status=disabled')).toEqual([users[0]?.id]);
    expect(await count('status=closing')).toEqual([users[1]?.id]);
    expect(await count('status=deleted')).toEqual([]);
    expect(await count('role=admin')).toEqual([]);

    const other = await who.get(`/api/admin/users?q=${tag}&limit=2`);
    expect((await who.get(`/api/admin/users?limit=2&cursor=${other.body.next_cursor}`)).status).toBe(400);
    for (const bad of ['limit=0', 'limit=101', 'limit=-1', 'limit=1e9', 'cursor=x', 'status=gone', 'role=owner'])
      expect((await who.get(`/api/admin/users?${bad}`)).status).toBe(400);
  });

  test('is served by indexes', async () => {
    await auth.rows(`
      insert into auth.users (id, email, name, role, created_at, updated_at)
      select gen_random_uuid(), 'bulk' || n || '@bulk.test', 'Bulk ' || n, 'user', now(), now()
      from generate_series(1, 20000) n`);
    await auth.rows('analyze auth.users');
    const plan = await auth.rows<{ 'QUERY PLAN': string }>(`explain
      select u.id from auth.users u
      where (u.email operator(pg_catalog.~>=~) 'bulk199' and u.email operator(pg_catalog.~<~) 'bulk199~')
        or (lower(u.name) operator(pg_catalog.~>=~) 'bulk199' and lower(u.name) operator(pg_catalog.~<~) 'bulk199~')
      order by u.created_at desc, u.id desc limit 50`);
    const text = plan.map((line) => line['QUERY PLAN']).join('\n');
    expect(text).toMatch(/users_email_prefix/);
    expect(text).toMatch(/users_name_prefix/);
    await auth.rows(`delete from auth.users where email like 'bulk%'`);
  });
});
