import { randomBytes } from 'node:crypto';
import type { Client } from '../client.ts';
import type { Person } from './keepsakes.ts';
import { expect, type Scene } from './story.ts';

export interface Session {
  client: Client;
  refreshToken: string;
}

/** Who plays in the main job, and what they have got so far. */
export interface Cast {
  organization?: { id: string; name: string };
  ada?: Session;
  vera?: Session;
  key?: { id: string; key: string; prefix: string };
  /** Names for the ids that the audit trail shows. */
  names: Map<string, string>;
}

/** What an earlier step of the table must have left behind. */
export function have<K extends keyof Cast>(cast: Cast, what: K): NonNullable<Cast[K]> {
  const value = cast[what];
  if (value === undefined) throw new Error(`the step that brings "${what}" has not been played`);
  return value as NonNullable<Cast[K]>;
}

/** A name for a new person; the password is random and only ever kept in the demo's file. */
export function invent(name: string, email: string): Person {
  return { name, email, password: randomBytes(18).toString('base64url') };
}

interface Tokens {
  access_token: string;
  refresh_token: string;
  token_type: string;
  expires_in: number;
  user: { id: string };
}

/** Signs a person in and shows what comes back. */
export async function login(scene: Scene, cast: Cast, person: Person): Promise<Session> {
  const { client, narrator } = scene;
  const { email, password, name } = person;
  narrator.sent(name, 'POST /api/auth/login', { email, password });
  const answer = await client.post<Tokens>('/api/auth/login', { email, password });
  const { access_token, refresh_token, token_type, expires_in, user } = answer.body;
  narrator.received(
    answer,
    answer.status === 200 ? { token_type, expires_in, access_token, refresh_token } : undefined,
  );
  expect(answer.status === 200, `${name} signs in with the password of ${scene.keepsakes.path}`);
  expect(token_type === 'bearer' && expires_in > 0, 'a sign-in answers a bearer token and its seconds');
  expect(answer.headers['cache-control'] === 'no-store', 'nobody on the way may store tokens');
  cast.names.set(user.id, name);
  return { client: client.as(access_token), refreshToken: refresh_token };
}
