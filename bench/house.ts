import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { IDENTITY_HEADER, type IdentityClaims } from '@gatehouse/contracts/identity';
import { permissionsOf } from '@gatehouse/contracts/permissions';
import { createSigner } from '@gatehouse/kit/identity';
import { client } from '@gatehouse/testkit/server';
import pg from 'pg';
import { type Platform, ROOT, startPlatform } from '../dev/src/platform.ts';
import { readSecret } from '../dev/src/secrets.ts';

/** A platform of its own with an organization, its owner and his session. */
export interface House {
  platform: Platform;
  userId: string;
  sessionId: string;
  orgId: string;
  accessToken: string;
  /** The header that the gateway would send to a service for the owner, or for nobody. Good for a minute. */
  identityFor(audience: string, who: 'owner' | 'anonymous'): Record<string, string>;
  /** Runs statements as the database's superuser. */
  asAdmin<T>(work: (admin: pg.Client) => Promise<T>): Promise<T>;
  /** Stops everything and removes the data. */
  close(): Promise<void>;
}

export const OWNER = { email: 'bench@gatehouse.test', password: 'a bench-only password of the owner' };
const LIMITS = ['ADDRESS', 'USER', 'KEY'].flatMap((policy) =>
  ['MINUTE', 'HOUR', 'DAY'].map((window) => [`LIMIT_${policy}_${window}`, '1000000000']),
);

/** Starts everything but nginx, the mailbox and the example, with limits that no measure reaches. */
export async function openHouse(upstreamUrl: string): Promise<House> {
  // Another name for a run beside another one, which would clear the data away under it.
  const dataDir = join(ROOT, '.data', process.env['BENCH_DIR'] ?? 'bench');
  rmSync(dataDir, { recursive: true, force: true });
  const platform = await startPlatform({
    dataDir,
    ports: 'free',
    skip: ['nginx', 'mailbox', 'upstream'],
    env: {
      // As in an image, where it is filled when the image is built.
      NODE_COMPILE_CACHE: join(ROOT, '.data', 'compile-cache'),
      NODE_OPTIONS: process.env['BENCH_NODE_OPTIONS'] ?? '',
    },
    settings: {
      // A new one each time: the cluster may be an older run's.
      DATABASE_NAME: `bench_${Date.now()}`,
      UPSTREAMS: `bench=${upstreamUrl}`,
      ACCESS_TOKEN_TTL_SECONDS: '3600',
      LOGIN_BUDGET: '100',
      LOGIN_ACCOUNT_NETWORK_BUDGET: '100',
      LOGIN_LOCK_FAILURES: '100',
      LOGIN_NETWORK_BUDGET: '1000000',
      SESSIONS_MAX: '1000',
      ...Object.fromEntries(LIMITS),
    },
  });
  const close = async () => {
    await platform.stop();
    // Ten million rows are several GB.
    rmSync(platform.postgres.dataDir, { recursive: true, force: true });
  };
  try {
    const house = { platform, close, ...(await moveIn(platform)) };
    // A measure asks more often than a small plan allows in a day.
    await house.asAdmin((admin) => admin.query(`update org.organizations set plan = 'enterprise'`));
    return house;
  } catch (error) {
    await close();
    throw error;
  }
}

async function moveIn(platform: Platform): Promise<Omit<House, 'platform' | 'close'>> {
  const gateway = client(platform.process('gateway').url);
  const founded = await gateway.post('/api/bootstrap', {
    organization: { name: 'Bench' },
    admin: { ...OWNER, name: 'Owner' },
  });
  const login = await gateway.post('/api/auth/login', OWNER);
  if (founded.status !== 201 || login.status !== 200)
    throw new Error(`no session to measure with: ${JSON.stringify([founded.body, login.body])}`);
  const accessToken: string = login.body.access_token;
  const { sub, sid } = JSON.parse(Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString());
  const orgId: string = founded.body.organization.id;
  const owner: IdentityClaims = {
    kind: 'user',
    sub,
    sid,
    role: 'admin',
    org: { id: orgId, role: 'owner', permissions: [...permissionsOf('owner')], plan: 'free' },
  };
  const signer = createSigner(readSecret(platform.secretsDir, 'IDENTITY_PRIVATE_KEY'));
  return {
    accessToken,
    userId: sub,
    sessionId: sid,
    orgId,
    identityFor: (audience, who) => ({
      ...EDGE_HEADERS,
      [IDENTITY_HEADER]: signer.sign(who === 'owner' ? owner : { kind: 'anonymous', sub: 'anonymous' }, audience),
    }),
    async asAdmin(work) {
      const { host, port, user, password } = platform.postgres;
      const database = platform.settings['DATABASE_NAME'];
      const admin = new pg.Client({ host, port, user, password, database });
      await admin.connect();
      return work(admin).finally(() => admin.end());
    },
  };
}

/** What nginx adds to every request. */
export const EDGE_HEADERS = {
  'x-forwarded-for': '192.0.2.1',
  'x-request-id': '0af7651916cd43dd8448eb211c80319c',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
};
