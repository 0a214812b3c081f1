import { OrgRole, permissionsOf } from '@gatehouse/contracts/permissions';
import type { Endpoint } from '@gatehouse/kit/endpoint';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TestDatabase } from './database.ts';
import { identityHeaders, type TestIdentity } from './identities.ts';
import { type Answer, client } from './server.ts';

/** An organization with a member of every role, by which a test acts in it. */
export interface MatrixOrganization {
  id: string;
  members: Record<OrgRole, string>;
}

/** What a request to a route needs beside `:org_id`: the ids in its path, and a body where it takes one. */
export interface MatrixRequest {
  ids?: Record<string, string>;
  body?: unknown;
}

/** For each route with an id or an organization permission: how to make a request that succeeds, by an object's organization. */
export type RouteTable<O> = Record<string, (organization: O) => MatrixRequest | Promise<MatrixRequest>>;

const STRANGERS = ['none', 'no_org', ...OrgRole.options, 'api_key', 'platform_admin'] as const;
export type Stranger = (typeof STRANGERS)[number];

interface MatrixOptions<O extends MatrixOrganization> {
  /** The service's name, the audience of its identities. */
  service: string;
  /** The schema that a refused request must leave as it was. */
  schema: string;
  endpoints: readonly Endpoint[];
  table: RouteTable<O>;
  /** Where the permission alone does not say what is answered, by route. */
  exceptions?: Record<string, Partial<Record<Stranger, number>>>;
  /** Routes that write and yet ask for no more than a permission to read. */
  writesForReaders?: string[];
  start: () => Promise<{
    url: string;
    database: TestDatabase;
    /** Makes another organization with everything that the table's requests point at. */
    found: () => Promise<O>;
    close: () => Promise<void>;
  }>;
}

/** `DELETE /api/org/:org_id/members/:user_id` */
export const routeOf = ({ method, path }: Endpoint) => `${method.toUpperCase()} ${path}`;
const needsEntry = ({ permission, orgPermission, path }: Endpoint) =>
  permission !== 'public' && (orgPermission !== undefined || path.includes(':'));
const hasOwnIds = ({ path }: Endpoint) => path.replace(':org_id', '').includes(':');

/** What a stranger is answered at an endpoint, by what the endpoint declares. */
function statusForStranger({ permission, orgPermission, status }: Endpoint, stranger: Stranger): number {
  if (permission === 'internal') return 404;
  if (stranger === 'none') return 401;
  if (stranger === 'api_key') return 403;
  if (stranger === 'platform_admin') return permission === 'user' ? 404 : status;
  if (permission === 'platform_admin') return 403;
  return orgPermission || permission === 'user' ? 404 : status;
}

/**
 * Registers the tests that come from the declared endpoints (cases S072, S075, S076 and the bare S087): every stranger
 * on the objects of another organization, and every role on every route of its own. A route without an entry fails.
 */
export function testMatrix<O extends MatrixOrganization>(options: MatrixOptions<O>): void {
  const { service, schema, endpoints, table, exceptions = {}, writesForReaders = [] } = options;
  const listed = endpoints.filter(needsEntry);
  const inOrganization = listed.filter(({ orgPermission }) => orgPermission);
  let server: Awaited<ReturnType<MatrixOptions<O>['start']>>;
  let own: O;
  beforeAll(async () => {
    server = await options.start();
    own = await server.found();
  });
  afterAll(() => server?.close());

  async function ask(endpoint: Endpoint, who: TestIdentity, orgId: string, request: MatrixRequest, headers = {}) {
    const ids: Record<string, string> = { org_id: orgId, ...request.ids };
    const path = endpoint.path.replace(/:(\w+)/g, (_, name) => ids[name] ?? `no-${name}`);
    const caller = client(server.url, { ...identityHeaders(service, who), ...headers });
    if (endpoint.method === 'get') return caller.get(path);
    return caller[endpoint.method](path, request.body);
  }

  const snapshot = () => digest(server.database, schema);
  const denials = () => countDenials(server.database);

  /** Sends the request and holds it to its status; one that is refused changes nothing and is on record once. */
  async function expectAnswer(
    status: number,
    name: string,
    send: () => Promise<Answer>,
    onRecord = status === 403,
  ): Promise<void> {
    const before = { rows: await snapshot(), denials: await denials() };
    const answer = await send();
    expect({ name, status: answer.status, body: answer.status === status ? undefined : answer.body }).toEqual({
      name,
      status,
      body: undefined,
    });
    if (status < 400) return;
    expect({ name, rows: await snapshot() }).toEqual({ name, rows: before.rows });
    if (onRecord) expect({ name, denials: await denials() }).toEqual({ name, denials: before.denials + 1 });
  }

  test('S072 S076: every route with an id has its entry in the table, and every entry its route', () => {
    expect(Object.keys(table).sort()).toEqual(listed.map(routeOf).sort());
  });

  // The tables below follow the declarations; this is what finds a declaration that asks for too little.
  test('S076: a route that writes asks for a permission to write', () => {
    const loose = inOrganization.filter(
      ({ method, orgPermission }) => method !== 'get' && orgPermission?.endsWith(':read'),
    );
    expect(loose.map(routeOf)).toEqual(writesForReaders);
  });

  describe('S072: on an object of another organization', () => {
    test.each(listed.map((endpoint) => [routeOf(endpoint), endpoint] as const))('%s', async (route, endpoint) => {
      for (const stranger of STRANGERS) {
        const foreign = await server.found();
        const request = (await table[route]?.(foreign)) ?? {};
        const status = exceptions[route]?.[stranger] ?? statusForStranger(endpoint, stranger);
        const who = identityOf(stranger, own, foreign);
        const hidden = status === 404 && stranger !== 'platform_admin' && endpoint.permission !== 'user';
        await expectAnswer(
          status,
          `${stranger}: ${route}`,
          () => ask(endpoint, who, foreign.id, request, { 'x-org-id': foreign.id }),
          status === 403 || hidden,
        );
      }
    });
  });

  describe('S075: an id of another organization under one’s own', () => {
    const routes = inOrganization.filter(hasOwnIds).map((endpoint) => [routeOf(endpoint), endpoint] as const);
    if (routes.length > 0)
      test.each(routes)('%s', async (route, endpoint) => {
        const foreign = await server.found();
        const request = (await table[route]?.(foreign)) ?? {};
        for (const role of OrgRole.options) {
          const status = may(role, endpoint) ? 404 : 403;
          await expectAnswer(status, `${role}: ${route}`, () =>
            ask(endpoint, memberOf(own, role), own.id, request, { 'x-org-id': foreign.id }),
          );
        }
      });
  });

  describe('S076: each role on each route of its own organization, as the published table says', () => {
    const routes = inOrganization.map((endpoint) => [routeOf(endpoint), endpoint] as const);
    if (routes.length > 0)
      test.each(routes)('%s', async (route, endpoint) => {
        for (const role of OrgRole.options) {
          const organization = await server.found();
          const request = (await table[route]?.(organization)) ?? {};
          const status = may(role, endpoint) ? endpoint.status : 403;
          await expectAnswer(status, `${role}: ${route}`, () =>
            ask(endpoint, memberOf(organization, role), organization.id, request),
          );
        }
      });
  });

  describe('S087: without a user', () => {
    const closed = endpoints.filter(({ permission }) => permission !== 'public');
    test.each(closed.map((endpoint) => [routeOf(endpoint), endpoint] as const))('%s', async (route, endpoint) => {
      const request: MatrixRequest = {
        ids: Object.fromEntries([...endpoint.path.matchAll(/:(\w+)/g)].map(([, name]) => [String(name), own.id])),
      };
      const internal = endpoint.permission === 'internal';
      const key: TestIdentity = { kind: 'api_key', org: { id: own.id, role: 'api_key' } };
      await expectAnswer(internal ? 404 : 403, `API key: ${route}`, () => ask(endpoint, key, own.id, request));
      await expectAnswer(internal ? 404 : 401, `anonymous: ${route}`, () =>
        ask(endpoint, { kind: 'anonymous' }, own.id, request),
      );
      const bare = { [Object.keys(identityHeaders(service))[0] as string]: '' };
      await expectAnswer(401, `no identity: ${route}`, () => ask(endpoint, {}, own.id, request, bare));
    });
  });
}

const may = (role: OrgRole, { orgPermission }: Endpoint) =>
  orgPermission !== undefined && permissionsOf(role).includes(orgPermission);

function memberOf({ id, members }: MatrixOrganization, role: OrgRole): TestIdentity {
  return { sub: members[role], org: { id, role } };
}

/** A platform admin acts in the foreign organization, as the gateway lets it; everyone else only in the own one. */
function identityOf(stranger: Stranger, own: MatrixOrganization, foreign: MatrixOrganization): TestIdentity {
  switch (stranger) {
    case 'none':
      return { kind: 'anonymous' };
    case 'no_org':
      return {};
    case 'api_key':
      return { kind: 'api_key', org: { id: own.id, role: 'api_key' } };
    case 'platform_admin':
      return { role: 'admin', org: { id: foreign.id, role: 'platform_admin' } };
    default:
      return memberOf(own, stranger);
  }
}

/** A fingerprint of every row of a schema. */
export async function digest(database: TestDatabase, schema: string): Promise<Record<string, string>> {
  const { pg } = database.pool('admin');
  const { rows: tables } = await pg.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = $1`,
    [schema],
  );
  const digests: Record<string, string> = {};
  for (const { name } of tables) {
    const { rows } = await pg.query<{ digest: string }>(
      `select md5(coalesce(string_agg(t::text, E'\\n' order by t::text), '')) as digest from ${name} t`,
    );
    digests[name] = rows[0]?.digest ?? '';
  }
  return digests;
}

/** How many refused decisions are on record. */
export async function countDenials(database: TestDatabase): Promise<number> {
  const { rows } = await database
    .pool('admin')
    .pg.query<{ count: number }>(`select count(*)::integer from events.outbox o where o.type = 'access.denied.v1'`);
  return rows[0]?.count ?? 0;
}
