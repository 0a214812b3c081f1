import { type Reference, startHello } from './children.ts';
import type { House } from './house.ts';
import { atLeast, type Line, shown } from './report.ts';
import { type Figure, figure, interleave, serve } from './rounds.ts';

const ROUNDS = 5;
const CONNECTIONS = 32;
const REST = 'requests/CPU-s, of';

/**
 * Reads at a service's own port with a valid identity. What the service itself costs is judged: a read without a query
 * against a bare hello, one with a query against a bare server with the same query. The others against a bare hello
 * are shown: what they lack to it is node-postgres, which alone costs several times a hello.
 */
export async function measureReads(house: House): Promise<Line[]> {
  const { platform, userId, orgId } = house;
  const { host, port } = platform.postgres;
  const login = `gatehouse_auth:${encodeURIComponent(platform.databasePasswords.auth)}`;
  const DATABASE = `postgres://${login}@${host}:${port}/${platform.settings['DATABASE_NAME']}`;
  const hello = await startHello();
  const query = await startHello({ DATABASE, USER_ID: userId });
  try {
    const me = ['auth', '/api/auth/me'] as const;
    const plain = await compare(house, hello, 'org', '/api/permissions');
    const read = await compare(house, query, ...me);
    const readOfHello = await compare(house, hello, ...me);
    const inOrg = await compare(house, hello, 'org', `/api/org/${orgId}`);
    return [
      atLeast(`read without a query, GET /api/permissions: ${REST} a bare hello`, plain, 0.5),
      atLeast(`read with one, GET /api/auth/me: ${REST} a bare server with that query`, read, 0.5),
      shown(`  GET /api/auth/me: ${REST} a bare hello`, readOfHello),
      shown(`  GET /api/org/:org_id (a transaction): ${REST} a bare hello`, inOrg),
    ];
  } finally {
    await Promise.all([hello.stop(), query.stop()]);
  }
}

async function compare(house: House, baseline: Reference, service: string, path: string): Promise<Figure> {
  const subject = house.platform.process(service);
  const load = (base: string) => ({
    url: base + path,
    headers: house.identityFor(service, 'owner'),
    connections: CONNECTIONS,
    seconds: 3,
  });
  const rounds = await interleave(
    ROUNDS,
    () => serve(subject.pid() ?? 0, load(subject.url)),
    () => serve(baseline.pid, load(baseline.url)),
  );
  return figure(rounds.map((round) => round.subject.perCpuSecond / round.baseline.perCpuSecond));
}
