import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import { OrgRole } from '@gatehouse/contracts/permissions';
import { deriveKey, open } from '@gatehouse/kit/crypto';
import { openPool, type Pool } from '@gatehouse/kit/db';
import { createFacts } from '@gatehouse/kit/facts';
import { newId } from '@gatehouse/kit/ids';
import { createLogger } from '@gatehouse/kit/log';
import { createMetrics, type Metrics } from '@gatehouse/kit/metrics';
import { testClock } from '@gatehouse/testkit/clock';
import { testDatabase } from '@gatehouse/testkit/database';
import { identityHeaders, type TestIdentity, testVerifier } from '@gatehouse/testkit/identities';
import { type Answer, type Client, client, type Listening, listen } from '@gatehouse/testkit/server';
import { testRedis } from '@gatehouse/testkit/test-redis';
import { createApp } from './app.ts';
import type { Deps } from './deps.ts';
import { countOperations } from './operations.ts';
import { createScanningKeys } from './secret-scanning/keys.ts';

/** An organization of a test, with the ids of its members by role; `owners` has all of them. */
export interface TestOrganization {
  id: string;
  members: Record<OrgRole, string>;
  owners: string[];
}

/** An account as auth has it. */
export interface TestPerson {
  id: string;
  email: string;
  role: 'admin' | 'user' | 'guest';
  status: 'active' | 'disabled' | 'deleted';
  verified: boolean;
}

export interface TestMail {
  template: string;
  to: string;
  params: Record<string, unknown>;
  expires_at: string;
  token: string;
}

interface Instance {
  deps: Deps;
  metrics: Metrics;
  pool: Pool;
  listening: Listening;
}

const MAIL_KEY = deriveKey('m2Vb6Yt9Qw4Er7Ui1Op5As8Df3Gh0JkLz', MAIL_SECRET.purpose);

type Limits = Partial<Deps['limits']>;

/** The org service on a database of its own: `instances` of it, each with a pool of its own. */
export async function startOrg({
  instances = 1,
  scanningKeysUrl,
  ...limits
}: { instances?: number; scanningKeysUrl?: string } & Limits = {}) {
  const database = await testDatabase();
  const redis = await testRedis();
  const clock = testClock();
  const log = createLogger({ service: 'org', version: 'test', environment: 'test', level: 'error' });
  const facts = createFacts(redis.client, log);

  async function instance(): Promise<Instance> {
    const metrics = createMetrics({ version: 'test', revision: 'test' });
    const pool = openPool({ ...database.connection('org'), max: 10, name: 'org' });
    const deps: Deps = {
      pool,
      facts,
      redis: redis.client,
      clock,
      log,
      operations: countOperations(metrics),
      environment: 'development',
      secrets: { mail: [MAIL_KEY] },
      scanningKeys: createScanningKeys({ url: scanningKeysUrl, clock }),
      limits: { organizationsPerUser: 10, ...limits },
    };
    return {
      deps,
      metrics,
      pool,
      listening: await listen(createApp({ ...deps, metrics, verifier: testVerifier('org') })),
    };
  }
  const running = await Promise.all(Array.from({ length: instances }, instance));
  const [first] = running as [Instance, ...Instance[]];

  async function addMember(orgId: string, role: OrgRole, userId: string = newId()): Promise<string> {
    const { pg } = database.pool('admin');
    await pg.query('insert into org.members (org_id, user_id, role) values ($1, $2, $3)', [orgId, userId, role]);
    return userId;
  }

  /** An account with a proved address, unless something else is said. */
  async function person(about: Partial<TestPerson> = {}): Promise<TestPerson> {
    const id = about.id ?? newId();
    const one = { id, email: `${id}@users.test`, role: 'user', verified: true, status: 'active', ...about } as const;
    await database.pool('admin').pg.query(
      `insert into auth.users (id, email, name, role, status, email_verified_at, created_at, updated_at)
       values ($1, $2, 'Uma User', $3, $4, case when $5 then now() end, now(), now())`,
      [one.id, one.email, one.role, one.status, one.verified],
    );
    return one;
  }

  /** Founded by the door that bootstrap uses, with a member of every role. */
  async function found({ owners = 1 }: { owners?: number } = {}): Promise<TestOrganization> {
    const [id, owner] = [newId(), newId()];
    await database
      .pool('auth')
      .pg.query('select org.found_organization($1, $2, $3, $4)', [id, 'Acme', `acme-${id}`, owner]);
    const members = { owner } as Record<OrgRole, string>;
    for (const role of OrgRole.options) if (role !== 'owner') members[role] = await addMember(id, role);
    const others = await Promise.all(Array.from({ length: owners - 1 }, () => addMember(id, 'owner')));
    return { id, members, owners: [owner, ...others] };
  }

  const as = (about: TestIdentity, at = first): Client => client(at.listening.url, identityHeaders('org', about));
  return {
    database,
    redis,
    clock,
    facts,
    url: first.listening.url,
    instances: running,
    metrics: first.metrics,
    found,
    addMember,
    person,
    as,
    /** A member, acting in the organization. */
    member: ({ id, members }: TestOrganization, role: OrgRole, at = first) =>
      as({ sub: members[role], org: { id, role } }, at),
    owner: (orgId: string, userId: string, at = first) => as({ sub: userId, org: { id: orgId, role: 'owner' } }, at),
    platformAdmin: () => as({ role: 'admin' }),
    gateway: () => as({ kind: 'service' }),
    /** Events of an organization in the order in which they were written. */
    async events(orgId: string): Promise<{ type: string; kind: string; actor: { user_id?: string }; data: unknown }[]> {
      const { rows } = await database
        .pool('admin')
        .pg.query(
          'select o.type, o.kind, o.actor, o.data from events.outbox o where o.org_id = $1 order by o.position',
          [orgId],
        );
      return rows;
    },
    /** The mails that are owed to an address, oldest first, with the secret that each carries. */
    async mails(to: string): Promise<TestMail[]> {
      const { rows } = await database
        .pool('admin')
        .pg.query<{ payload: TestMail; secret: Buffer | null }>(
          `select j.payload, j.secret from events.jobs j where j.payload ->> 'to' = $1 order by j.created_at, j.id`,
          [to],
        );
      return rows.map(({ payload, secret }) => ({
        ...payload,
        token: secret ? open(MAIL_KEY, secret, MAIL_SECRET.aad).toString() : '',
      }));
    },
    async rows<T = Record<string, unknown>>(text: string, values: unknown[] = []): Promise<T[]> {
      return (await database.pool('admin').pg.query(text, values)).rows as T[];
    },
    async close(): Promise<void> {
      for (const { listening, pool } of running) {
        await listening.close();
        await pool.end();
      }
      await redis.close();
      await database.close();
    },
  };
}

export type TestOrg = Awaited<ReturnType<typeof startOrg>>;

/** How many answers there are of each kind: `{ '201': 10, '409 org.limit_reached': 40 }`. */
export function tally(answers: readonly (Answer | undefined)[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const answer of answers) {
    const outcome = `${answer?.status} ${answer?.body?.code ?? ''}`.trim();
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return counts;
}
