import { randomUUID } from 'node:crypto';
import { factKey } from '@gatehouse/contracts/facts';
import { createSigner } from '@gatehouse/kit/identity';
import { identityPrivateKey } from '@gatehouse/testkit/identities';
import { client } from '@gatehouse/testkit/server';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { type House, identityIn, testHouse } from '../testing.ts';
import { createOwners } from './owners.ts';
import { createRememberedFacts } from './remembered.ts';

let house: House;
let gateway: Awaited<ReturnType<House['start']>>;
beforeAll(async () => {
  house = await testHouse();
});
afterAll(() => house.close());

// One that knows the keys, and remembers nothing of the test before.
beforeEach(async () => {
  gateway = await house.start();
  await client(gateway.url).get('/api/auth/me', house.user().headers);
  house.owned.batches.length = 0;
  house.owned.asked.length = 0;
});

function members(count: number) {
  return Array.from({ length: count }, () => {
    const org = house.organization();
    return { org, ...house.user({ org_id: org, role: 'analyst' }) };
  });
}

type Member = ReturnType<typeof members>[number];

const ask = ({ org, headers }: Pick<Member, 'org' | 'headers'>) =>
  client(gateway.url).get(`/api/proxy/example/${org}`, { ...headers, 'x-org-id': org });

test('of a hundred members at once each is who it is, and asked about once', async () => {
  const all = members(100);
  const from = house.upstream.requests.length;

  const answers = await Promise.all(all.map(ask));

  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  expect(house.owned.asked).toHaveLength(200);
  const arrived = house.upstream.requests.slice(from).map((request) => {
    const { sub, sid, org } = identityIn(request, 'example');
    return [request.url, sub, sid, org?.id, org?.role];
  });
  const expected = all.map(({ org, user_id, session_id }) => [`/${org}`, user_id, session_id, org, 'analyst']);
  expect(arrived.toSorted()).toEqual(expected.toSorted());
});

test('a hundred members at once are a handful of requests to the owners', async () => {
  const signer = createSigner(identityPrivateKey);
  const owners = createOwners({ signer, authUrl: house.auth.url, orgUrl: house.org.url });
  const facts = createRememberedFacts({ redis: { read: async () => [] }, owners });
  const all = members(100);
  try {
    await Promise.all(all.flatMap((one) => [facts.loadSession(one.session_id), facts.loadGuard(one.org, one.user_id)]));

    expect(house.owned.batches).toEqual([100, 100]);
    for (const { org, session_id, user_id } of all) {
      expect(facts.session(session_id)).toMatchObject({ session_id, user_id, active: true });
      expect(facts.org(org)).toMatchObject({ id: org });
      expect(facts.member(factKey.member(org, user_id))).toEqual({ role: 'analyst' });
    }
  } finally {
    await owners.close();
  }
});

test('S072 who is unknown, has ended or is a stranger is refused, and nobody else with them', async () => {
  const [good, unknown, ended, stranger, lost] = members(5) as [Member, Member, Member, Member, Member];
  house.owned.sessions.delete(unknown.session_id);
  const { user_id } = ended;
  const over = {
    session_id: ended.session_id,
    user_id,
    active: false,
    role: 'user',
    second_factor_required: false,
  } as const;
  house.owned.sessions.set(ended.session_id, over);
  house.owned.members.delete(`${stranger.org} ${stranger.user_id}`);
  house.owned.orgs.delete(lost.org);

  const answers = await Promise.all([good, unknown, ended, stranger, lost].map(ask));

  expect(answers.map(({ status }) => status)).toEqual([200, 401, 401, 404, 404]);
});

test('an id that no owner takes, or a fact that is none, spoils nothing for the others', async () => {
  const [good, odd, broken] = members(3) as [Member, Member, Member];
  house.owned.sessions.set(broken.session_id, { session_id: broken.session_id } as never);

  const answers = await Promise.all([
    ask(good),
    ask({ ...odd, org: '00000000-0000-0000-0000-00000000000a' }),
    ask({ ...odd, org: randomUUID() }),
    ask(broken),
  ]);

  expect(answers.map(({ status }) => status)).toEqual([200, 404, 404, 503]);
  expect(house.owned.asked.filter((path) => path.includes('00000000-0000'))).toHaveLength(1);
});

test('an owner of the release before is asked one by one', async () => {
  house.owned.older = true;
  try {
    const answers = await Promise.all(members(20).map(ask));
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    expect(house.owned.batches).toEqual([]);
    expect(house.owned.asked).toHaveLength(40);
  } finally {
    house.owned.older = false;
  }
});

test('while an owner fails everyone is refused, and served as soon as it answers', async () => {
  const all = members(20);
  house.owned.broken = true;
  const refused = await Promise.all(all.map(ask));
  house.owned.broken = false;
  const served = await Promise.all(all.map(ask));

  expect([...new Set(refused.map(({ status }) => status))]).toEqual([503]);
  expect([...new Set(served.map(({ status }) => status))]).toEqual([200]);
});
