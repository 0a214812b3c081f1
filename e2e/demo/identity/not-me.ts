import { setTimeout as delay } from 'node:timers/promises';
import { problem } from '../access.ts';
import { invent } from '../cast.ts';
import { expect, type Scene } from '../story.ts';
import { type Device, giveCode, givePassword, type IdentityCast } from './cast.ts';

const BOUND_MS = 1000;

/** The link opens a page; only its button does something, so that no scanner of mails can press it. */
export async function pressNotMe({ client, narrator, mailbox }: Scene, cast: IdentityCast): Promise<void> {
  const { person, phone, notMeToken: token } = cast;
  narrator.sent(person.name, 'GET /not-me', 'the link of the mail, as a browser or a scanner opens it');
  const page = await client.get('/not-me');
  narrator.received(page, page.headers['content-type']);
  expect(page.status === 200 && page.text.includes('<form'), 'the link opens a page with a button');
  expect((await phone.client.get('/api/auth/me')).status === 200, 'opening the page changes nothing');

  narrator.sent(person.name, 'POST /api/auth/sessions/not-me', { token });
  const pressed = await client.post('/api/auth/sessions/not-me', { token });
  narrator.received(pressed);
  expect(pressed.status === 200, 'the button works without a sign-in');
  const again = await client.post('/api/auth/sessions/not-me', { token });
  expect(again.status === 400, 'and once');
  const { mail, token: resetToken } = await mailbox.waitForLink(person.email, '/reset-password');
  cast.resetToken = resetToken;
  narrator.note(`mailbox: "${mail.subject}" for ${person.email}`);
}

export async function seeSessionsDead({ client, narrator }: Scene, cast: IdentityCast): Promise<void> {
  const start = performance.now();
  for (const device of [cast.laptop, cast.phone]) {
    narrator.sent(cast.person.name, 'GET /api/auth/me', `on the ${device.name}`);
    const answer = await untilDead(device, start);
    narrator.received(answer, problem(answer));
    expect(answer.status === 401, `the session on the ${device.name} is dead within ${BOUND_MS} ms`);
    const refresh = await client.post('/api/auth/refresh', { refresh_token: device.refreshToken });
    expect(refresh.status === 401, 'no refresh token brings it back');
  }
  narrator.proved('the sessions are dead on both devices, and so are their refresh tokens');
}

async function untilDead({ client }: Device, start: number) {
  for (;;) {
    const answer = await client.get('/api/auth/me');
    if (answer.status === 401 || performance.now() - start > BOUND_MS) return answer;
    await delay(50);
  }
}

export async function beAskedToReset(scene: Scene, cast: IdentityCast): Promise<void> {
  const refused = await givePassword(scene, cast, cast.laptop);
  const { code } = refused.body as unknown as { code: string };
  expect(refused.status === 403 && code === 'auth.password_reset_required', 'the old password opens nothing any more');
}

export async function reset({ client, narrator }: Scene, cast: IdentityCast): Promise<void> {
  const { person, resetToken: token } = cast;
  const { password: new_password } = invent(person.name, person.email);
  narrator.sent(person.name, 'POST /api/auth/password/reset', { token, new_password });
  const answer = await client.post('/api/auth/password/reset', { token, new_password });
  narrator.received(answer);
  expect(answer.status === 204, 'the link of the mail sets a new password');
  const again = await client.post('/api/auth/password/reset', { token, new_password: `${new_password}x` });
  expect(again.status === 400, 'once');
  const { email, password } = person;
  const old = await cast.laptop.client.as(undefined).post('/api/auth/login', { email, password });
  expect(old.status === 401, 'the old password is wrong now');
  person.password = new_password;
  narrator.proved('the link signs nobody in, and is used up; the old password is wrong from now on');
}

export async function signInAgain(scene: Scene, cast: IdentityCast): Promise<void> {
  const needed = await givePassword(scene, cast, cast.laptop);
  expect(needed.body.second_factor_required === true, 'a reset does not go around the second factor');
  await giveCode(scene, cast, cast.laptop, needed.body.challenge_token);
  const me = await cast.laptop.client.get<{ amr: string[] }>('/api/auth/me');
  scene.narrator.sent(cast.person.name, 'GET /api/auth/me');
  scene.narrator.received(me, { email: cast.person.email, amr: me.body.amr });
  expect(me.status === 200 && me.body.amr.includes('mfa'), 'signed in with both');
}
