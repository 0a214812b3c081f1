import type { Answer, Client } from '../../client.ts';
import { problem } from '../access.ts';
import type { Authenticator } from '../authenticator.ts';
import type { Cast } from '../cast.ts';
import type { Person } from '../keepsakes.ts';
import { expect, type Scene } from '../story.ts';

/** Where a person sits: a browser with an address and cookies of its own. */
export interface Device {
  name: string;
  client: Client;
  refreshToken?: string;
}

export interface IdentityCast extends Cast {
  /** Each telling has new people, so that it can be told again on the same platform. */
  person: Person;
  colleague: Person;
  laptop: Device;
  phone: Device;
  app?: Authenticator;
  /** The tokens of the mails that arrived. */
  notMeToken?: string;
  resetToken?: string;
}

export interface SignedIn {
  access_token: string;
  refresh_token: string;
  user: { id: string };
  recovery_codes?: string[];
}
export interface SecondFactorNeeded {
  second_factor_required: true;
  challenge_token: string;
  methods: string[];
}

/** First half of a sign-in: the password, which here opens nothing by itself. */
export async function givePassword({ narrator }: Scene, { person }: IdentityCast, device: Device) {
  const { email, password } = person;
  narrator.sent(person.name, 'POST /api/auth/login', { email, password });
  const answer = await device.client.as(undefined).post<SecondFactorNeeded>('/api/auth/login', { email, password });
  const { methods, challenge_token } = answer.body;
  narrator.received(answer, answer.status === 200 ? { methods, challenge_token } : problem(answer as Answer<never>));
  return answer;
}

/** Second half: a code of the app, which makes the session. */
export async function giveCode(scene: Scene, cast: IdentityCast, device: Device, challenge_token: string) {
  const { narrator } = scene;
  const code = await nextCode(scene, cast);
  const path = '/api/auth/challenge/verify';
  narrator.sent(cast.person.name, `POST ${path}`, { method: 'totp', code, challenge_token });
  const body = { challenge_token, method: 'totp', code };
  const answer = await device.client.as(undefined).post<SignedIn>(path, body);
  const { access_token, refresh_token } = answer.body;
  narrator.received(answer, answer.status === 200 ? { access_token, refresh_token } : undefined);
  expect(answer.status === 200, 'password and code together open a session');
  device.client = device.client.as(access_token);
  device.refreshToken = refresh_token;
}

export function nextCode({ narrator }: Scene, { app }: IdentityCast): Promise<string> {
  if (!app) throw new Error('nobody has set up the authenticator');
  return app.next((seconds) => narrator.note(`(each code counts once: ${seconds} s until the next one)`));
}
