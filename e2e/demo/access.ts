import type { Answer } from '../client.ts';
import { type Cast, have } from './cast.ts';
import { beginning } from './narrator.ts';
import { expect, type Scene } from './story.ts';

interface Key {
  id: string;
  key: string;
  prefix: string;
  expires_at: string;
}

/** What the example upstream answers: the identity that it has verified, and what reached it. */
interface Echo {
  identity: { sub: string; kind: string; aud: string; role?: string; org?: { id: string; role: string } };
}

export async function createKey(scene: Scene, cast: Cast): Promise<void> {
  const { narrator, keepsakes } = scene;
  const path = `/api/org/${have(cast, 'organization').id}/api-keys`;
  const ada = have(cast, 'ada').client;
  const known = keepsakes.read().key;
  if (known) {
    const list = await ada.get<{ data: { id: string; revoked_at: string | null }[] }>(path);
    if (list.body.data.some(({ id, revoked_at }) => id === known.id && revoked_at === null)) {
      narrator.note(`The key ${known.prefix}... exists already, from an earlier run.`);
      cast.names.set(known.id, 'key');
      cast.key = known;
      return;
    }
  }
  const body = { name: 'Nightly report', scopes: ['proxy'] };
  narrator.sent('Ada', `POST ${path}`, body);
  const answer = await ada.post<Key>(path, body);
  const { id, key, prefix, expires_at } = answer.body;
  narrator.received(answer, answer.status === 201 ? { key, prefix, expires_at } : undefined);
  expect(answer.status === 201, 'an owner creates an API key');
  narrator.proved('shown this once: of the key itself the platform keeps a SHA-256');
  keepsakes.keep({ key: { id, key, prefix } });
  cast.names.set(id, 'key');
  cast.key = { id, key, prefix };
}

/** A person's request to the team's own application, for an organization that the person belongs to. */
export async function useToken({ narrator }: Scene, cast: Cast): Promise<void> {
  const org = have(cast, 'organization');
  narrator.sent('Ada', 'GET /api/proxy/example/orders/42?full=1', `with her token, x-org-id: ${org.id}`);
  const answer = await have(cast, 'ada').client.get<Echo>('/api/proxy/example/orders/42?full=1', {
    'x-org-id': org.id,
  });
  const identity = echoed(answer);
  narrator.received(answer, { identity: told(identity) });
  expect(identity.kind === 'user' && identity.org?.id === org.id, 'the upstream is told who calls, and for whom');
  narrator.proved('the application verified the signature of that identity; it never saw the token');
}

export async function useKey({ client, narrator }: Scene, cast: Cast): Promise<void> {
  const { key, id } = have(cast, 'key');
  narrator.sent('key', 'POST /api/proxy/example/reports', { made_by: beginning(key) });
  const answer = await client.as(key).post<Echo>('/api/proxy/example/reports', { rows: 3 });
  const identity = echoed(answer);
  narrator.received(answer, { identity: told(identity) });
  expect(identity.kind === 'api_key' && identity.sub === id, 'the upstream is told which key calls');
  expect(identity.org?.id === have(cast, 'organization').id, 'a key acts for its own organization');
  expect(!answer.text.includes(key), 'the application never sees the key');
}

function echoed(answer: Answer<Echo>): Echo['identity'] {
  expect(answer.status < 300, `the example upstream answers through the gateway (it said ${answer.status})`);
  const { identity } = answer.body;
  expect(identity !== undefined, 'the upstream echoes the identity that it verified');
  return identity;
}

/** Of an identity, what a person looks for. */
function told({ kind, sub, role, org, aud }: Echo['identity']): Record<string, unknown> {
  return { kind, sub, role, org: org && { id: org.id, role: org.role }, aud };
}

export async function refuseViewer({ narrator }: Scene, cast: Cast): Promise<void> {
  const { client } = have(cast, 'vera');
  const path = `/api/org/${have(cast, 'organization').id}`;
  narrator.sent('Vera', `GET ${path}/members`);
  const seen = await client.get<{ data: { email: string; role: string }[] }>(`${path}/members`);
  narrator.received(
    seen,
    seen.body.data?.map(({ email, role }) => ({ email, role })),
  );
  expect(seen.status === 200, 'a viewer may look');

  narrator.sent('Vera', `POST ${path}/api-keys`, { name: 'mine' });
  const refused = await client.post(`${path}/api-keys`, { name: 'mine' });
  narrator.received(refused, problem(refused));
  expect(refused.status === 403 && refused.body['code'] === 'access.denied', 'a viewer may not make keys');
  narrator.proved('she may look and not touch; which role may what: GET /api/permissions');
}

export async function refuseKey({ client, narrator }: Scene, cast: Cast): Promise<void> {
  const path = `/api/org/${have(cast, 'organization').id}`;
  narrator.sent('key', `GET ${path}`);
  const refused = await client.as(have(cast, 'key').key).get(path);
  narrator.received(refused, problem(refused));
  expect(refused.status === 403, 'a key reaches applications, never the platform itself');
}

/** The parts of a problem document that a person reads first. */
export function problem({ body }: Answer): Record<string, unknown> {
  return { title: body['title'], code: body['code'], request_id: body['request_id'] };
}
