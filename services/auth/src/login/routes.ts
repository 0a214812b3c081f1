import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import { Profile } from '../accounts/accounts.ts';
import { EmailAddress } from '../addresses.ts';
import type { Deps } from '../deps.ts';
import { Password } from '../passwords/passwords.ts';
import { Tokens } from '../sessions/sessions.ts';
import { login } from './login.ts';

export function loginRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/auth/login',
      summary: 'Sign in with e-mail address and password',
      permission: 'public',
      body: z.strictObject({ email: EmailAddress, password: Password }),
      answers: { 200: Tokens.extend({ user: Profile }) },
      errors: ['auth.invalid_credentials', 'overloaded', 'rate_limited'],
      bodyLimit: 16 * 1024,
      handle: ({ actor, body }) => login(deps, actor, body),
    }),
  ];
}
