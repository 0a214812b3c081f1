import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import { EmailAddress } from '../addresses.ts';
import type { Deps } from '../deps.ts';
import { readClient } from '../devices/devices.ts';
import { Password } from '../passwords/passwords.ts';
import { COOKIES_TOLD, SessionWish, sessionMode, tokenAnswer } from '../sessions/cookie-mode.ts';
import { SignInAnswer } from '../sign-in/sign-in.ts';
import { login } from './login.ts';

export function loginRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/auth/login',
      summary: 'Sign in with e-mail address and password',
      description:
        'Answers with the tokens of a session or, where a second factor is asked for, with a challenge that ends at ' +
        '`/api/auth/challenge/verify`: `methods` says what can be proved, `enrol` what has to be set up first.',
      permission: 'public',
      body: z.strictObject({ email: EmailAddress, password: Password, session: SessionWish }),
      answers: { 200: SignInAnswer.meta(COOKIES_TOLD) },
      errors: [
        'auth.invalid_credentials',
        'auth.origin_refused',
        'auth.password_reset_required',
        'overloaded',
        'rate_limited',
      ],
      bodyLimit: 16 * 1024,
      async handle({ actor, body, headers }) {
        const mode = sessionMode(deps, headers, body.session);
        const { body: answer, cookies } = await login(deps, actor, { ...body, client: readClient(headers, mode) });
        return tokenAnswer(deps, answer, cookies, mode);
      },
    }),
  ];
}
