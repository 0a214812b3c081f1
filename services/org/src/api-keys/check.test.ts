import { newId } from '@gatehouse/kit/ids';
import { digest } from '@gatehouse/testkit/matrix';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startOrg, type TestOrg, type TestOrganization } from '../testing.ts';

const DAY_MS = 86_400_000;

let org: TestOrg;
let acme: TestOrganization;
beforeAll(async () => {
  org = await startOrg();
});
afterAll(() => org.close());

const path = ({ id }: TestOrganization, rest = '') => `/api/org/${id}/api-keys${rest}`;
const create = async (body: object = {}) =>
  (await org.member(acme, 'owner').post(path(acme), { name: 'ci', ...body })).body;
const request = { method: 'GET', path: '/api/proxy/example/items' };
const check = async (id: string, about: object = {}, who = org.member(acme, 'analyst')) =>
  (await who.post(path(acme, `/${id}/check`), { ...request, ...about })).body;
const inDays = (days: number) => new Date(org.clock().getTime() + days * DAY_MS).toISOString();

describe('why a key is refused', () => {
  beforeAll(async () => {
    acme = await org.found();
  });

  test('its scopes, rules, addresses and organization, in the order of the gateway', async () => {
    const { id } = await create({
      scopes: ['proxy'],
      rules: [
        { method: 'GET', path: '/api/proxy/example/items' },
        { method: 'POST', path: '/api/proxy/example/items/*' },
      ],
      addresses: ['192.0.2.0/24', '::ffff:198.51.100.7', '2001:db8::/32'],
    });
    const cases: [object, string][] = [
      [{}, 'ok'],
      [{ method: 'HEAD' }, 'ok'],
      [{ path: '/api/proxy/example/items?page=2' }, 'ok'],
      [{ path: '/v1/proxy/example/items' }, 'ok'],
      [{ address: '192.0.2.200' }, 'ok'],
      [{ address: '::ffff:192.0.2.200' }, 'ok'],
      [{ address: '198.51.100.7' }, 'ok'],
      [{ address: '2001:DB8:0::1' }, 'ok'],
      [{ org_id: acme.id }, 'ok'],
      [{ org_id: acme.id.toUpperCase() }, 'ok'],
      [{ method: 'POST', path: '/api/proxy/example/items/1' }, 'ok'],
      [{ path: '/api/standalone/example/items' }, 'scope'],
      [{ path: '/api/orgs' }, 'scope'],
      [{ path: '/api/proxyexample' }, 'scope'],
      [{ path: '/' }, 'scope'],
      [{ method: 'POST' }, 'rule'],
      [{ method: 'OPTIONS' }, 'rule'],
      [{ method: 'HEAD', path: '/api/proxy/example/items/1' }, 'rule'],
      [{ path: '/api/proxy/example/Items' }, 'rule'],
      [{ path: '/api/proxy/example/items/' }, 'rule'],
      [{ method: 'POST', path: '/api/proxy/example/itemsx' }, 'rule'],
      [{ address: '192.0.3.1' }, 'address'],
      [{ address: '::1' }, 'address'],
      [{ org_id: newId() }, 'other_organization'],
      [{ path: '/api/proxy/example/../items' }, 'path_not_canonical'],
      [{ path: '/api/proxy/example/%2e%2e/items' }, 'path_not_canonical'],
      [{ path: '/api/proxy/example//items' }, 'path_not_canonical'],
      [{ path: '/api/proxy/example/items;x=1' }, 'path_not_canonical'],
      [{ path: '/api/proxy/example/%69tems' }, 'path_not_canonical'],
    ];
    for (const [about, reason] of cases)
      expect([about, await check(id, about)]).toEqual([
        about,
        { allowed: reason === 'ok', reason, detail: expect.stringMatching(/\.$/) },
      ]);
  });

  test('the end of its life, whatever it was', async () => {
    const owner = org.member(acme, 'owner');
    const [revoked, expired, replaced] = [await create(), await create({ expires_at: inDays(1) }), await create()];
    await owner.delete(path(acme, `/${revoked.id}`));
    const { body: successor } = await owner.post(path(acme, `/${replaced.id}/rotate`), { overlap_seconds: 60 });
    expect(await check(replaced.id)).toMatchObject({ allowed: true, reason: 'ok' });

    org.clock.advance(61_000);
    expect(await check(replaced.id)).toMatchObject({ allowed: false, reason: 'overlap_over' });
    expect(await check(successor.id)).toMatchObject({ allowed: true });
    org.clock.advance(DAY_MS);
    expect(await check(expired.id)).toMatchObject({ allowed: false, reason: 'expired' });
    expect(await check(revoked.id)).toMatchObject({ allowed: false, reason: 'revoked' });
  });

  test('is for members who see keys, and tells nothing of a key of another organization', async () => {
    const { id } = await create();
    const other = await org.found();
    const before = await digest(org.database, 'org');
    const foreign = await org.member(other, 'owner').post(path(other, `/${id}/check`), request);
    const unknown = await org.member(other, 'owner').post(path(other, `/${newId()}/check`), request);
    expect([foreign.status, foreign.body.code]).toEqual([404, 'api_key.not_found']);
    expect({ ...unknown.body, request_id: '' }).toEqual({ ...foreign.body, request_id: '' });
    expect((await org.member(acme, 'viewer').post(path(acme, `/${id}/check`), request)).status).toBe(403);
    for (const body of [{ method: 'TRACE' }, { method: 'get' }, { path: 'api' }, { address: 'here' }, { key: 'x' }])
      expect((await org.member(acme, 'owner').post(path(acme, `/${id}/check`), { ...request, ...body })).status).toBe(
        400,
      );
    expect(await digest(org.database, 'org')).toEqual(before);
  });

  test('the state of its organization, which only a platform admin still sees then', async () => {
    const { id } = await create();
    await org.platformAdmin().patch(`/api/platform/organizations/${acme.id}`, { status: 'suspended', reason: 'abuse' });
    const admin = org.as({ role: 'admin', org: { id: acme.id, role: 'platform_admin' } });
    expect(await check(id, {}, admin)).toMatchObject({ allowed: false, reason: 'organization_suspended' });
  });
});
