import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '../../client.ts';
import { have } from '../cast.ts';
import { expect, type Scene } from '../story.ts';
import type { IdentityCast } from './cast.ts';

const SEALED_WITHIN_MS = 15_000;

interface HistoryEntry {
  action: string;
  outcome: string;
  at: string;
  address: string | null;
  method: string | null;
  reason: string | null;
}

interface Entry {
  action: string;
  outcome: string;
  occurred_at: string;
  actor: { id: string | null };
  target: { id: string } | null;
  data: Record<string, unknown>;
}

/** What must be in the person's own history, and how often at least. */
const OWN: [RegExp, number][] = [
  [/^auth\.login_succeeded/, 3],
  [/^auth\.factor_refused/, 1],
  [/^auth\.device_added/, 2],
  [/^auth\.session_revoked/, 2],
  [/^auth\.not_me/, 1],
  [/^auth\.login_failed/, 2],
];

/** What an administrator finds of all this. */
const WHOLE: [RegExp, number][] = [
  ...OWN,
  [/^org\.invitation_created/, 1],
  [/^auth\.user_registered/, 2],
  [/^auth\.email_verified/, 1],
  [/^auth\.factor_added/, 1],
  [/^auth\.password_reset\.v/, 1],
];

export async function showHistory({ narrator, secrets }: Scene, cast: IdentityCast): Promise<void> {
  const path = '/api/auth/login-history?limit=100';
  narrator.sent(cast.person.name, `GET ${path}`);
  const { text, data } = await sealed<HistoryEntry>(cast.laptop.client, path, OWN);
  for (const { at, action, outcome, address, method, reason } of data.toReversed())
    narrator.note(
      [at.slice(11, 23), action.padEnd(28), outcome.padEnd(8), (address ?? '').padEnd(16), method ?? reason ?? ''].join(
        ' ',
      ),
    );
  expect(missing(data, OWN).length === 0, `the history holds ${missing(data, OWN).join(', ')}`);
  expect(leaked(text, secrets).length === 0, 'no secret is in it');
  narrator.proved('everything that happened to the account, told to its owner');
}

export async function showTrail({ narrator, secrets, startedAt }: Scene, cast: IdentityCast): Promise<void> {
  const ada = have(cast, 'ada').client;
  const path = `/api/admin/audit?limit=100&from=${encodeURIComponent(startedAt.toISOString())}`;
  narrator.sent('Ada', `GET ${path}`);
  const { text, data } = await sealed<Entry>(ada, path, WHOLE);
  const { id = '' } = cast.person;
  const about = data.filter(({ actor, target, data }) => [actor.id, target?.id, data['user_id']].includes(id));
  narrator.note(`${data.length} sealed events of this telling, ${about.length} about ${cast.person.name}:`);
  const counts = Map.groupBy(about, ({ action, outcome }) => `${action} ${outcome}`);
  for (const [what, entries] of counts) narrator.note(`${String(entries.length).padStart(4)} x ${what}`);
  expect(missing(data, WHOLE).length === 0, `the record holds ${missing(data, WHOLE).join(', ')}`);

  const found = leaked(text, secrets);
  expect(found.length === 0, `none of the secrets is in the record (${found.length} are)`);
  narrator.proved(`none of the ${secrets.size} passwords, codes, seeds and tokens of this telling is in it`);

  const org = `/api/org/${have(cast, 'organization').id}/audit?limit=100&from=${encodeURIComponent(startedAt.toISOString())}`;
  const seen = await ada.get<{ data: Entry[] }>(org);
  expect(seen.status === 200, 'an owner reads the log of the organization');
  const signIns = seen.body.data.filter(({ action }) => /^auth\.(login|session|device|factor|logout)/.test(action));
  expect(signIns.length === 0, 'an organization does not see where its members sign in');
  narrator.proved('the log of the organization holds none of her sign-ins: they are hers');
}

export async function leave({ narrator }: Scene, cast: IdentityCast): Promise<void> {
  const ada = have(cast, 'ada');
  for (const { id } of [cast.person, cast.colleague]) {
    const path = `/api/org/${have(cast, 'organization').id}/members/${id}`;
    narrator.sent('Ada', `DELETE ${path}`);
    const answer = await ada.client.delete(path);
    narrator.received(answer);
    expect(answer.status === 204, 'an owner removes a member');
  }
  expect((await ada.client.post('/api/auth/logout')).status === 204, 'a sign-out ends the session');
}

/** Asks until the sealer has caught up with what must be there. */
async function sealed<E extends { action: string }>(client: Client, path: string, wanted: [RegExp, number][]) {
  const deadline = performance.now() + SEALED_WITHIN_MS;
  for (;;) {
    const { status, body, text } = await client.get<{ data: E[] }>(path);
    expect(status === 200, `the record is shown (${status})`);
    if (missing(body.data, wanted).length === 0 || performance.now() > deadline) return { text, data: body.data };
    await delay(250);
  }
}

function missing(entries: readonly { action: string }[], wanted: [RegExp, number][]): string[] {
  return wanted
    .filter(([action, times]) => entries.filter((entry) => action.test(entry.action)).length < times)
    .map(([action, times]) => `${action.source} x ${times}`);
}

/** Secrets that a text holds. A short code counts only where it stands alone: digits of an id are none. */
function leaked(text: string, secrets: ReadonlySet<string>): string[] {
  return [...secrets].filter((secret) =>
    secret.length < 12
      ? new RegExp(`(?<![\\w.-])${RegExp.escape(secret)}(?![\\w.-])`).test(text)
      : text.includes(secret),
  );
}
