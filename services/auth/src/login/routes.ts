import { type Endpoint, endpoint, reply } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import { EmailAddress } from '../addresses.ts';
import type { Deps } from '../deps.ts';
import { readClient } from '../devices/devices.ts';
import { Password } from '../passwords/passwords.ts';
import { SignedIn } from '../sign-in/sign-in.ts';
import { login } from './login.ts';

export function loginRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/auth/login',
      summary: 'Sign in with e-mail address and password',
      permission: 'public',
      body: z.strictObject({ email: EmailAddress, password: Password }),
      answers: { 200: SignedIn },
      errors: ['auth.invalid_credentials', 'overloaded', 'rate_limited'],
      bodyLimit: 16 * 1024,
      async handle({ actor, body, headers }) {
        const { body: answer, cookies } = await login(deps, actor, { ...body, client: readClient(headers) });
        return reply(200, answer, cookies.length > 0 ? { 'set-cookie': cookies } : {});
      },
    }),
  ];
}
