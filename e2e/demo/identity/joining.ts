import { problem } from '../access.ts';
import { have } from '../cast.ts';
import { expect, type Scene } from '../story.ts';
import type { IdentityCast, SignedIn } from './cast.ts';

interface Member {
  user_id: string;
  email: string;
}

/** A telling that broke off may have left somebody behind, and an organization has so many places only. */
export async function tidyUp({ narrator }: Scene, cast: IdentityCast): Promise<void> {
  const ada = have(cast, 'ada').client;
  const path = `/api/org/${have(cast, 'organization').id}`;
  const members = await ada.get<{ data: Member[] }>(`${path}/members?limit=100`);
  expect(members.status === 200, 'an owner sees the members');
  const left = members.body.data.filter(({ email }) => email.endsWith('@story.test'));
  for (const { user_id } of left) await ada.delete(`${path}/members/${user_id}`);
  const open = await ada.get<{ data: { id: string; email: string }[] }>(`${path}/invitations?limit=100`);
  const pending = open.body.data.filter(({ email }) => email.endsWith('@story.test'));
  for (const { id } of pending) await ada.delete(`${path}/invitations/${id}`);
  if (left.length + pending.length > 0) narrator.note('(what an earlier telling left behind is cleared away)');
}

export async function invite(scene: Scene, cast: IdentityCast): Promise<void> {
  const { narrator, mailbox } = scene;
  await tidyUp(scene, cast);
  const { person } = cast;
  const path = `/api/org/${have(cast, 'organization').id}/invitations`;
  const body = { email: person.email, role: 'viewer', note: 'Have a look around.' };
  narrator.sent('Ada', `POST ${path}`, body);
  const answer = await have(cast, 'ada').client.post<Record<string, unknown>>(path, body);
  const { status, role, expires_at } = answer.body;
  narrator.received(answer, answer.status === 201 ? { status, role, expires_at } : problem(answer));
  expect(answer.status === 201, 'an owner invites somebody by mail');

  const { mail } = await mailbox.waitForLink(person.email, '/accept-invitation');
  narrator.note(`mailbox: "${mail.subject}" for ${person.email} (${mailbox.url})`);
  expect(!answer.text.includes('token'), 'the link is in the mail and nowhere else');
  narrator.proved('the token is in the mail alone: not in the answer, and in the database as a hash');
}

export async function accept({ narrator, mailbox }: Scene, cast: IdentityCast): Promise<void> {
  const { person, laptop } = cast;
  const { token } = await mailbox.waitForLink(person.email, '/accept-invitation');
  narrator.sent(person.name, 'POST /api/invitations/preview', { token });
  const preview = await laptop.client.post('/api/invitations/preview', { token });
  narrator.received(preview);
  expect(preview.status === 200, 'whoever holds the link sees what it offers');

  const { name, password } = person;
  const path = '/api/auth/register/invited';
  narrator.sent(name, `POST ${path}`, { name, password, invitation_token: token });
  const body = { name, password, invitation_token: token };
  const answer = await laptop.client.post<{ user: { id: string; email: string; role: string } }>(path, body);
  narrator.received(answer);
  expect(answer.status === 201 && answer.body.user.email === person.email, 'the invited person gets an account');
  person.id = answer.body.user.id;
  cast.names.set(person.id, name);

  narrator.sent('-', `POST ${path}`, 'with the same link');
  const again = await laptop.client.post(path, { ...body, name: 'Mallory' });
  narrator.received(again, problem(again));
  expect(again.status === 400, 'a link is good once');
}

/** Where an administrator makes the account, its mailbox is still to be proved. */
export async function confirmAddress({ visitor, narrator, mailbox }: Scene, cast: IdentityCast): Promise<void> {
  const { colleague } = cast;
  const { email, name, password } = colleague;
  const client = visitor('Mozilla/5.0 (Macintosh; Intel Mac OS X 15.5; rv:140.0) Gecko/20100101 Firefox/140.0');
  narrator.sent('Ada', 'POST /api/auth/register', { email, name, password });
  const body = { email, name, password, org_id: have(cast, 'organization').id };
  const made = await have(cast, 'ada').client.post<{ user: { id: string } }>('/api/auth/register', body);
  narrator.received(made);
  expect(made.status === 201, 'an owner makes an account');
  colleague.id = made.body.user.id;
  cast.names.set(colleague.id, name);

  narrator.sent(name, 'POST /api/auth/email/resend', { email });
  const asked = await client.post('/api/auth/email/resend', { email });
  narrator.received(asked);
  const nobody = await client.post('/api/auth/email/resend', { email: `nobody-${email}` });
  expect(asked.status === 202 && nobody.text === asked.text, 'the answer does not say who has an account');
  const { mail, token } = await mailbox.waitForLink(email, '/verify-address');
  narrator.note(`mailbox: "${mail.subject}" for ${email}`);
  narrator.sent(name, 'POST /api/auth/email/verify', { token });
  const confirmed = await client.post('/api/auth/email/verify', { token });
  narrator.received(confirmed);
  expect(confirmed.status === 204, 'the token of the mail confirms the address');

  const signedIn = await client.post<SignedIn>('/api/auth/login', { email, password });
  const me = await client.as(signedIn.body.access_token).get<{ email_verified: boolean }>('/api/auth/me');
  expect(me.body.email_verified, 'the account says so');
  narrator.proved(`${email} is confirmed; an address without an account got the same answer, and no mail`);
}
