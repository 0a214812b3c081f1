import { newId } from '@gatehouse/kit/ids';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startOrg, type TestOrg } from '../testing.ts';

let org: TestOrg;
beforeAll(async () => {
  org = await startOrg();
});
afterAll(() => org.close());

const PATH = '/api/platform/organizations';
const decide = (orgId: string, body: unknown) => org.platformAdmin().patch(`${PATH}/${orgId}`, body);
const search = async (query: string) => {
  const { status, body } = await org.platformAdmin().get(`${PATH}?${query}`);
  expect(status).toBe(200);
  return body.data.map(({ name }: { name: string }) => name) as string[];
};

describe('listing all organizations', () => {
  test('a search finds its text literally, in any letter case', async () => {
    const mark = newId().slice(-8);
    for (const name of [`${mark} 100% Café`, `${mark} a_b`, `${mark} back\\slash`, `${mark} plain`])
      await org.as({ sub: newId() }).post('/api/orgs', { name });

    const find = (q: string) => search(`q=${encodeURIComponent(q)}`);
    expect(await find(`${mark} 100% CAFÉ`)).toEqual([`${mark} 100% Café`]);
    expect(await find(`${mark}%`)).toEqual([]);
    expect(await find(`${mark} a_b`)).toEqual([`${mark} a_b`]);
    expect(await find(`${mark}_a`)).toEqual([]);
    expect(await find(`${mark} back\\`)).toEqual([`${mark} back\\slash`]);
    expect(await find(`${mark.toUpperCase()} PLAIN`)).toEqual([`${mark} plain`]);
    expect(await find(`' or 1=1 --`)).toEqual([]);
  });

  test('S116: a search shaped to be slow is not', async () => {
    const started = performance.now();
    await search(`q=${encodeURIComponent('%_'.repeat(50))}`);
    expect((await org.platformAdmin().get(`${PATH}?q=${'a'.repeat(10_000)}`)).status).toBe(400);
    expect(performance.now() - started).toBeLessThan(200);
  });

  test('it is filtered by state and goes page by page, each cursor for its own filter', async () => {
    const ids = [];
    for (let i = 0; i < 3; i++) {
      const { id } = await org.found();
      await decide(id, { status: 'suspended', reason: 'test' });
      ids.push(id);
    }
    const seen: string[] = [];
    let query = 'status=suspended&limit=2';
    for (;;) {
      const { body } = await org.platformAdmin().get(`${PATH}?${query}`);
      seen.push(...body.data.map(({ id }: { id: string }) => id));
      if (!body.next_cursor) break;
      const other = await org.platformAdmin().get(`${PATH}?status=active&limit=2&cursor=${body.next_cursor}`);
      expect(other.status).toBe(400);
      query = `status=suspended&limit=2&cursor=${body.next_cursor}`;
    }
    expect(seen).toEqual(ids);
  });

  test('it is for platform admins, whatever role one has in an organization', async () => {
    const acme = await org.found();
    for (const client of [org.as({}), org.member(acme, 'owner')]) expect((await client.get(PATH)).status).toBe(403);
  });
});

describe('administering an organization', () => {
  test('suspending and changing the plan is an admin action with old and new values', async () => {
    const acme = await org.found();
    const guard = () => org.gateway().get(`/internal/guard/${acme.id}/${acme.members.owner}`);
    await guard();

    const answer = await decide(acme.id, { status: 'suspended', plan: 'pro', reason: 'unpaid' });

    expect(answer.body).toMatchObject({ id: acme.id, status: 'suspended', plan: 'pro' });
    expect(await org.redis.client.get(`fact:org:${acme.id}`)).toBe('');
    expect((await guard()).body.org).toMatchObject({ id: acme.id, status: 'suspended', plan: 'pro' });
    expect((await org.events(acme.id)).at(-1)).toMatchObject({
      type: 'org.organization_administered.v1',
      kind: 'admin_action',
      data: {
        reason: 'unpaid',
        old: { status: 'active', plan: 'free' },
        new: { status: 'suspended', plan: 'pro' },
      },
    });
    await decide(acme.id, { status: 'active', reason: 'paid' });
    expect((await guard()).body.org).toMatchObject({ id: acme.id, status: 'active', plan: 'pro' });
  });

  test('S033: suspended by its id in capital letters, it is suspended at once', async () => {
    const acme = await org.found();
    await org.gateway().get(`/internal/guard/${acme.id}/${acme.members.owner}`);

    expect((await decide(acme.id.toUpperCase(), { status: 'suspended', reason: 'abuse' })).status).toBe(200);

    expect(await org.redis.client.get(`fact:org:${acme.id}`)).toBe('');
  });

  test('a decision without a reason or a change, or of another kind, is refused', async () => {
    const acme = await org.found();
    const bodies = [
      { status: 'suspended' },
      { reason: 'because' },
      { status: 'deleted', reason: 'because' },
      { plan: 'platinum', reason: 'because' },
      { plan: 'pro', reason: ' ' },
      { plan: 'pro', reason: 'because', name: 'Mine' },
    ];
    for (const body of bodies) expect((await decide(acme.id, body)).status).toBe(400);
    expect((await decide(newId(), { plan: 'pro', reason: 'because' })).status).toBe(404);
    expect(await org.events(acme.id)).toEqual([]);
  });
});
