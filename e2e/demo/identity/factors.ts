import { openAuthenticator } from '../authenticator.ts';
import { expect, type Scene } from '../story.ts';
import { giveCode, givePassword, type IdentityCast, nextCode, type SignedIn } from './cast.ts';

export async function enrol(scene: Scene, cast: IdentityCast): Promise<void> {
  const { narrator } = scene;
  const { person, laptop } = cast;
  const { email, password, name } = person;
  narrator.sent(name, 'POST /api/auth/login', { email, password });
  const signedIn = await laptop.client.post<SignedIn>('/api/auth/login', { email, password });
  const { access_token, refresh_token } = signedIn.body;
  narrator.received(signedIn, { access_token, refresh_token });
  expect(signedIn.status === 200 && access_token !== undefined, 'a password is enough as long as there is no factor');
  laptop.client = laptop.client.as(access_token);
  laptop.refreshToken = refresh_token;

  narrator.sent(name, 'POST /api/auth/factors/totp');
  const begun = await laptop.client.post<{ secret: string; otpauth_uri: string; qr_svg: string }>(
    '/api/auth/factors/totp',
  );
  narrator.received(begun);
  expect(begun.status === 201 && begun.body.qr_svg.startsWith('<'), 'the app gets its seed, also as a picture');
  cast.app = openAuthenticator(begun.body.secret);

  const code = await nextCode(scene, cast);
  narrator.sent(name, 'POST /api/auth/factors/totp/confirm', { code });
  const confirmed = await laptop.client.post<SignedIn>('/api/auth/factors/totp/confirm', { code });
  const { recovery_codes = [] } = confirmed.body;
  narrator.received(confirmed, confirmed.status === 200 ? { recovery_codes } : undefined);
  expect(
    confirmed.status === 200 && recovery_codes.length === 10,
    'the first code counts, and ten recovery codes come',
  );
  laptop.client = laptop.client.as(confirmed.body.access_token);

  narrator.sent(name, 'POST /api/auth/login', 'with the password alone, and then with the code that was used');
  const needed = await givePassword(scene, cast, laptop);
  expect(needed.body.second_factor_required === true, 'from now on the password opens nothing');
  const body = { challenge_token: needed.body.challenge_token, method: 'totp', code };
  const replayed = await laptop.client.as(undefined).post('/api/auth/challenge/verify', body);
  expect(replayed.status === 401, 'a code is good once');
  narrator.proved('the seed is sealed in the database; each code is good once, and the used one was refused');
}

export async function signInElsewhere(scene: Scene, cast: IdentityCast): Promise<void> {
  const { narrator, mailbox } = scene;
  const { phone, person } = cast;
  const needed = await givePassword(scene, cast, phone);
  expect(needed.status === 200 && needed.body.methods.includes('totp'), 'the sign-in asks for the app');
  narrator.sent('-', 'GET /api/auth/me', 'with the challenge as a token');
  const early = await phone.client.as(needed.body.challenge_token).get('/api/auth/me');
  narrator.received(early, { code: early.body['code'] });
  expect(early.status === 401, 'a sign-in that is under way opens nothing');
  await giveCode(scene, cast, phone, needed.body.challenge_token);

  const { mail, token } = await mailbox.waitForLink(person.email, '/not-me');
  cast.notMeToken = token;
  narrator.note(`mailbox: "${mail.subject}" for ${person.email}`);
  for (const line of mail.text
    .split('\n')
    .filter((text) => /iPhone|127\.|Device|Address/i.test(text))
    .slice(0, 3))
    narrator.note(`         ${line.trim()}`);
  narrator.proved('a device that was not seen before is told of by mail');
}
