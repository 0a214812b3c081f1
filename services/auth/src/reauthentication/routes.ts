import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { readClient } from '../devices/devices.ts';
import { Code, FactorMethod } from '../factors/methods.ts';
import { Password } from '../passwords/passwords.ts';
import { Tokens } from '../sessions/sessions.ts';
import { describeNeeds, reauthenticate, sendReauthenticationCode } from './reauthentication.ts';

const Needs = z.object({
  /** Whether the password is asked for. */
  password: z.boolean(),
  /** The second factors of which one is asked for; none when the list is empty. */
  methods: z.array(FactorMethod),
});

export function reauthenticationRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/auth/reauthenticate',
      summary: 'What it takes to prove once more who one is',
      permission: 'user',
      answers: { 200: Needs },
      errors: ['auth.session_ended'],
      handle: ({ actor }) => describeNeeds(deps, actor),
    }),
    endpoint({
      post: '/api/auth/reauthenticate',
      summary: 'Prove once more who one is',
      description:
        'What changes a factor, an address, a key or an owner asks for a proof that is not older than ten minutes, and ' +
        'answers 403 `auth.reauth_required` otherwise. Give the password, and a code of one of the second factors ' +
        'where any is set up; the access token in the answer then counts as proof. Wrong passwords and codes count like ' +
        'those of a sign-in.',
      permission: 'user',
      body: z.strictObject({
        password: Password.optional(),
        method: FactorMethod.optional(),
        code: Code.optional(),
      }),
      answers: { 200: Tokens.pick({ access_token: true, token_type: true, expires_in: true }) },
      errors: [
        'auth.code_refused',
        'auth.factor_required',
        'auth.invalid_credentials',
        'auth.session_ended',
        'conflict',
        'overloaded',
        'rate_limited',
      ],
      bodyLimit: 16 * 1024,
      handle: ({ actor, body, headers }) => reauthenticate(deps, actor, { ...body, client: readClient(headers) }),
    }),
    endpoint({
      post: '/api/auth/reauthenticate/code',
      summary: 'Mail a code for a new proof',
      description: 'Three in ten minutes at most; each makes the one before worthless. It counts in this session only.',
      permission: 'user',
      answers: { 202: z.object({ expires_in: z.int() }) },
      errors: ['auth.factor_not_found', 'auth.session_ended', 'rate_limited'],
      handle: ({ actor }) => sendReauthenticationCode(deps, actor),
    }),
  ];
}
