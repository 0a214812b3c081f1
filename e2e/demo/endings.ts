import { setTimeout as delay } from 'node:timers/promises';
import { problem } from './access.ts';
import { type Cast, have } from './cast.ts';
import { expect, type Scene } from './story.ts';

const BOUND_MS = 1000;
const SEALED_WITHIN_MS = 15_000;

interface Sessions {
  data: { id: string; current: boolean; device: string; address: string }[];
}

/** Ends Vera's session with her own hand, and watches how long her token outlives it. */
export async function revokeSession({ client, narrator }: Scene, cast: Cast): Promise<void> {
  const vera = have(cast, 'vera');
  narrator.sent('Vera', 'GET /api/auth/sessions');
  const sessions = await vera.client.get<Sessions>('/api/auth/sessions');
  const current = sessions.body.data?.find((session) => session.current);
  narrator.received(sessions, current);
  expect(current !== undefined, 'a person sees where they are signed in');

  narrator.sent('Vera', `DELETE /api/auth/sessions/${current.id}`);
  const ended = await vera.client.delete(`/api/auth/sessions/${current.id}`);
  narrator.received(ended);
  expect(ended.status === 204, 'a session can be ended');

  const start = performance.now();
  narrator.sent('Vera', 'GET /api/auth/me', 'with the same token, until it is refused');
  let answer = await vera.client.get('/api/auth/me');
  while (answer.status === 200 && performance.now() - start < 2 * BOUND_MS) {
    await delay(100);
    answer = await vera.client.get('/api/auth/me');
  }
  const tookMs = Math.round(performance.now() - start);
  narrator.received(answer, problem(answer));
  expect(answer.status === 401 && tookMs <= BOUND_MS, `a revoked session is dead within ${BOUND_MS} ms (${tookMs} ms)`);

  narrator.sent('-', 'POST /api/auth/refresh', { refresh_token: vera.refreshToken });
  const refresh = await client.post('/api/auth/refresh', { refresh_token: vera.refreshToken });
  narrator.received(refresh, problem(refresh));
  expect(refresh.status === 401, 'nor does its refresh token bring it back');
  narrator.proved(`dead ${tookMs} ms after it was revoked, though the token itself would have lived for minutes`);
}

interface Entry {
  seq: number;
  hash: string;
  action: string;
  outcome: string;
  actor: { kind: string; id: string | null };
  address: string | null;
  occurred_at: string;
}

/** What must be in the record of any run, the first and the later ones. */
const RECORDED = [
  { action: /^auth\.login_succeeded/, times: 2, what: 'two sign-ins' },
  { action: /^access\.denied/, times: 2, what: 'two refusals, a viewer and a key' },
  { action: /^auth\.(session_(ended|revoked)|logged_out|logout)/, times: 1, what: 'the end of a session' },
];

/** Waits for the events of this run to be sealed, and prints them as the chain has them. */
export async function showAudit({ narrator, startedAt }: Scene, cast: Cast): Promise<void> {
  const ada = have(cast, 'ada').client;
  const path = `/api/admin/audit?limit=100&from=${encodeURIComponent(startedAt.toISOString())}`;
  narrator.sent('Ada', `GET ${path}`);
  const deadline = performance.now() + SEALED_WITHIN_MS;
  let answer = await ada.get<{ data: Entry[] }>(path);
  while (answer.status === 200 && missing(answer.body.data).length > 0 && performance.now() < deadline) {
    await delay(200);
    answer = await ada.get<{ data: Entry[] }>(path);
  }
  narrator.received(answer, `${answer.body.data?.length ?? 0} sealed events of this run`);
  expect(answer.status === 200, 'a platform admin reads the record');
  const entries = answer.body.data.toSorted((a, b) => a.seq - b.seq);
  for (const { seq, hash, action, outcome, actor, address, occurred_at } of entries) {
    const who = cast.names.get(actor.id ?? '') ?? actor.kind;
    const columns = [String(seq).padStart(6), occurred_at.slice(11, 23), who.padEnd(9), action.padEnd(36)];
    narrator.note([...columns, outcome.padEnd(8), (address ?? '').padEnd(10), hash.slice(0, 12)].join(' '));
  }
  expect(missing(entries).length === 0, `the record holds ${missing(entries).join(', ')}`);
  narrator.proved('each line carries the hash of all before it: make audit-verify recomputes the chain');
}

function missing(entries: readonly Entry[]): string[] {
  return RECORDED.filter(
    ({ action, times }) => entries.filter((entry) => action.test(entry.action)).length < times,
  ).map(({ what }) => what);
}
