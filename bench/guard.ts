import { createPrivateKey, randomInt, randomUUID, sign } from 'node:crypto';
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
const MEMBERS = ORGANIZATIONS * MEMBERS_EACH;

/**
 * The gateway's whole way as in gateway.ts, each request by another of 10,000 members of 1,000 organizations, against
 * the same by one member and against nginx in the same run. A round is longer than what anyone remembers of a member
 * but Redis, and by the next one all that is forgotten there, too: what it costs to ask the owners is in every round.
 */
export async function measureGuard(house: House, upstreamUrl: string): Promise<Line[]> {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-guard-'));
  const [many, one] = [join(dir, 'many'), join(dir, 'one')];
  const lines = await moveInMembers(house);
  writeFileSync(many, lines.join('\n'));
  writeFileSync(one, lines[0] as string);
  const proxy = await startProxy(upstreamUrl);
  const gateway = house.platform.process('gateway');
  const run = (pid: number, base: string, file: string): Promise<Served> =>
    serve(pid, {
      url: `${base}/api/proxy/bench/hello`,
      headers: EDGE_HEADERS,
      connections: CONNECTIONS,
      seconds: 10,
      // Not always the same members first.
      members: { file, first: randomInt(MEMBERS) },
    }).catch((error) => {
      throw new Error(`${file} at ${base}: ${error}`);
    });
  const ask = (file: string) => run(gateway.pid() ?? 0, gateway.url, file);
  const round = async () => ({
    members: await ask(many),
    single: await ask(one),
    nginx: await run(proxy.pid, proxy.url, many),
  });
  try {
    // Does not count: it warms caches and compilers, with every member.
    const warm = await round();
    if (warm.members.requests < MEMBERS) throw new Error(`only ${warm.members.requests} requests to warm up with`);
    const rounds: Awaited<ReturnType<typeof round>>[] = [];
    for (let i = 0; i < ROUNDS; i++) rounds.push(await round());
    const ratio = (subject: 'members' | 'single', baseline: 'single' | 'nginx') =>
      figure(rounds.map((one) => one[subject].perCpuSecond / one[baseline].perCpuSecond));
    const of = (value: (served: Served) => number) => figure(rounds.map(({ members }) => value(members)));
    return [
      atLeast(
        'gateway, each request by another of 10,000 members: requests/CPU-s, of one member',
        ratio('members', 'single'),
        0.9,
      ),
      atLeast('  of nginx proxy_pass', ratio('members', 'nginx'), 0.3),
      shown('  one member, of nginx proxy_pass', ratio('single', 'nginx')),
      shown(
        '  requests/CPU-s of the gateway',
        of(({ perCpuSecond }) => perCpuSecond),
      ),
      shown(
        '  requests/s',
        of(({ requests, seconds }) => requests / seconds),
      ),
      shown(
        `  p99 at ${CONNECTIONS} connections`,
        of(({ p99Ms }) => p99Ms),
        ' ms',
      ),
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
