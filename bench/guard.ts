import { createPrivateKey, randomUUID, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ACCESS_TOKEN_TYPE } from '@gatehouse/contracts/identity';
import { deriveKey, open } from '@gatehouse/kit/crypto';
import { readSecret } from '../dev/src/secrets.ts';
import { startProxy } from './children.ts';
import { EDGE_HEADERS, type House } from './house.ts';
import { atLeast, type Line, shown } from './report.ts';
import { figure, type Served, serve } from './rounds.ts';

const ROUNDS = 5;
const CONNECTIONS = 64;
const ORGANIZATIONS = 1_000;
const MEMBERS_EACH = 10;

/** How many requests a member sends before the next one's turn: what a client asks for one page or one job. */
const IN_A_ROW = 100;

/**
 * The gateway's whole way as in gateway.ts, for 10,000 members of 1,000 organizations one after the other, a hundred
 * requests each, against the same by one member in the same run. Shown beside it: what that is of nginx, and the worst
 * that can be, each request by another member, so that nothing that was remembered or minted is used twice.
 */
export async function measureGuard(house: House, upstreamUrl: string): Promise<Line[]> {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-guard-'));
  const [many, one] = [join(dir, 'many'), join(dir, 'one')];
  const lines = await moveInMembers(house);
  writeFileSync(many, lines.join('\n'));
  writeFileSync(one, lines[0] as string);
  const proxy = await startProxy(upstreamUrl);
  const gateway = house.platform.process('gateway');
  const run = (pid: number, base: string, file: string, inARow: number): Promise<Served> =>
    serve(pid, {
      url: `${base}/api/proxy/bench/hello`,
      headers: EDGE_HEADERS,
      connections: CONNECTIONS,
      seconds: 4,
      members: { file, inARow },
    }).catch((error) => {
      throw new Error(`${file} x ${inARow} at ${base}: ${error}`);
    });
  const ask = (file: string, inARow = IN_A_ROW) => run(gateway.pid() ?? 0, gateway.url, file, inARow);
  try {
    const rounds: { members: Served; single: Served; nginx: Served; worst: Served }[] = [];
    // The first does not count: it warms caches and compilers.
    for (let round = 0; round <= ROUNDS; round++)
      rounds.push({
        members: await ask(many),
        single: await ask(one),
        nginx: await run(proxy.pid, proxy.url, many, IN_A_ROW),
        worst: await ask(many, 1),
      });
    const counted = rounds.slice(1);
    const ratio = (subject: 'members' | 'worst', baseline: 'single' | 'nginx') =>
      figure(counted.map((round) => round[subject].perCpuSecond / round[baseline].perCpuSecond));
    const p99 = figure(counted.map(({ members }) => members.p99Ms));
    return [
      atLeast(
        'gateway, 10,000 members of 1,000 organizations: requests/CPU-s, of one member',
        ratio('members', 'single'),
        0.9,
      ),
      shown('  of nginx proxy_pass', ratio('members', 'nginx')),
      shown(`  p99 at ${CONNECTIONS} connections`, p99, ' ms'),
      shown('  each request by another member: of one member', ratio('worst', 'single')),
    ];
  } finally {
    await proxy.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A token and an organization for each member, in no order. */
async function moveInMembers(house: House): Promise<string[]> {
  const members = Array.from({ length: ORGANIZATIONS }, () => randomUUID()).flatMap((org_id) =>
    Array.from({ length: MEMBERS_EACH }, () => ({ org_id, user_id: randomUUID(), session_id: randomUUID() })),
  );
  const column = (name: 'org_id' | 'user_id' | 'session_id') => members.map((member) => member[name]);
  await house.asAdmin(async (admin) => {
    await admin.query(
      `insert into org.organizations (id, name, slug, plan, created_by)
       select id, 'Spread', 'spread-' || id, 'enterprise', id from unnest($1::uuid[]) id`,
      [[...new Set(column('org_id'))]],
    );
    await admin.query(
      `insert into org.members (org_id, user_id, role) select o, u, 'analyst' from unnest($1::uuid[], $2::uuid[]) m(o, u)`,
      [column('org_id'), column('user_id')],
    );
    await admin.query(
      `insert into auth.users (id, email, name, role, status, email_verified_at, created_at, updated_at)
       select id, id || '@spread.test', 'Spread', 'user', 'active', now(), now(), now() from unnest($1::uuid[]) id`,
      [column('user_id')],
    );
    await admin.query(
      `insert into auth.sessions (id, user_id, key_sealed, rotated_at, device, address, created_at, last_used_at,
                                  idle_expires_at, expires_at)
       select s, u, 'none', now(), 'Bench', '192.0.2.1', now(), now(), now() + interval '1 day', now() + interval '1 day'
       from unnest($1::uuid[], $2::uuid[]) m(s, u)`,
      [column('session_id'), column('user_id')],
    );
    await admin.query('analyze org.organizations, org.members, auth.users, auth.sessions');
  });
  const tokenOf = await signer(house);
  return shuffled(members.map((member) => `${tokenOf(member.user_id, member.session_id)} ${member.org_id}`));
}

/** Signs access tokens as auth does, with its own key. */
async function signer({ platform, asAdmin }: House): Promise<(userId: string, sessionId: string) => string> {
  const { rows } = await asAdmin((admin) =>
    admin.query(`select k.kid, k.private_sealed from auth.signing_keys k where k.status = 'active'`),
  );
  const { kid, private_sealed } = rows[0] as { kid: string; private_sealed: Buffer };
  const kek = deriveKey(readSecret(platform.secretsDir, 'JWT_SECRET'), 'signing keys');
  const der = open(kek, private_sealed, `auth.signing_keys.private_sealed:${kid}:auth`);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const audience = platform.settings['PUBLIC_URL'] as string;
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = part({ alg: 'ES256', typ: ACCESS_TOKEN_TYPE, kid });
  const iat = Math.floor(Date.now() / 1000);
  const times = { iat, auth_time: iat, exp: iat + 3600 };
  return (sub, sid) => {
    const claims = { iss: audience, aud: audience, sub, sid, role: 'user', amr: ['pwd', 'otp', 'mfa'], ...times };
    const text = `${head}.${part({ ...claims, jti: randomUUID() })}`;
    const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
    return `${text}.${signature.toString('base64url')}`;
  };
}

function shuffled<T>(items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [items[i], items[j]] = [items[j] as T, items[i] as T];
  }
  return items;
}
