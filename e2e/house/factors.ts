import { type Authenticator, openAuthenticator } from '../demo/authenticator.ts';
import type { Person } from './people.ts';

/** Sets an authenticator app up for somebody who is signed in; from then on the session has both factors. */
export async function withSecondFactor(person: Person): Promise<{ person: Person; app: { next(): Promise<string> } }> {
  const begun = await person.client.post<{ secret: string }>('/api/auth/factors/totp');
  if (begun.status !== 201) throw new Error(`${person.name} cannot set up a second factor: ${begun.text}`);
  const authenticator: Authenticator = openAuthenticator(begun.body.secret);
  const app = { next: () => authenticator.next(() => undefined) };
  const confirmed = await person.client.post<{ access_token: string }>('/api/auth/factors/totp/confirm', {
    code: await app.next(),
  });
  if (confirmed.status !== 200) throw new Error(`${person.name} cannot confirm a second factor: ${confirmed.text}`);
  return { person: { ...person, client: person.client.as(confirmed.body.access_token) }, app };
}
