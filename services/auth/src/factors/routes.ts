import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { Tokens } from '../sessions/sessions.ts';
import { StoredTime } from '../time.ts';
import { confirm, describeFactors, remove, renewRecoveryCodes, setUpEmail, setUpTotp } from './factors.ts';
import { Code, TotpSetUp } from './methods.ts';

const Factor = z.object({ added_at: StoredTime, last_used_at: StoredTime.nullable() });
const Factors = z.object({
  totp: Factor.nullable(),
  email: Factor.nullable(),
  recovery_codes: z.object({ left: z.int(), added_at: StoredTime.nullable(), last_used_at: StoredTime.nullable() }),
});
const Sent = z.object({ expires_in: z.int() });
const RecoveryCodes = z.object({
  /** Each good once in the place of a code; shown here and never again. */
  recovery_codes: z.array(z.string()),
});
const Confirmed = RecoveryCodes.extend(Tokens.pick({ access_token: true, token_type: true, expires_in: true }).shape);

export function factorRoutes(deps: Deps): Endpoint[] {
  return [...listed(deps), ...totp(deps), ...email(deps)];
}

function listed(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/auth/factors',
      summary: 'List the own second factors',
      permission: 'user',
      answers: { 200: Factors },
      handle: ({ actor }) => describeFactors(deps, actor),
    }),
    endpoint({
      post: '/api/auth/factors/recovery-codes',
      summary: 'Replace the recovery codes by ten new ones',
      permission: 'user',
      fresh: true,
      secondFactor: true,
      answers: { 200: RecoveryCodes },
      errors: ['auth.factor_not_found', 'auth.session_ended'],
      handle: ({ actor }) => renewRecoveryCodes(deps, actor),
    }),
  ];
}

function totp(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/auth/factors/totp',
      summary: 'Begin to set up an authenticator app',
      description:
        'It counts once a code of it is given at `/confirm`, in this session and within 15 minutes. Who has a second ' +
        'factor must have signed in with it. With `?replace=true` the new app takes the place of the one that is set up.',
      permission: 'user',
      fresh: true,
      query: z.strictObject({ replace: z.enum(['true', 'false']).optional() }),
      answers: { 201: TotpSetUp.partial().extend({ expires_in: z.int() }) },
      errors: ['auth.factor_exists', 'auth.second_factor_required', 'auth.session_ended'],
      handle: ({ actor, query }) => setUpTotp(deps, actor, { replace: query.replace === 'true' }),
    }),
    endpoint({
      post: '/api/auth/factors/totp/confirm',
      summary: 'Confirm the authenticator app with its first code',
      description:
        'Answers with ten new recovery codes, and with an access token that says that a second factor was proved.',
      permission: 'user',
      body: z.strictObject({ code: Code }),
      answers: { 200: Confirmed },
      errors: ['auth.code_refused', 'auth.second_factor_required', 'auth.session_ended', 'rate_limited'],
      handle: ({ actor, body }) => confirm(deps, actor, 'totp', body.code),
    }),
    endpoint({
      delete: '/api/auth/factors/totp',
      summary: 'Give the authenticator app up',
      description:
        'The recovery codes go with the last factor. Refused while a second factor is asked of the user and no other is left.',
      permission: 'user',
      fresh: true,
      secondFactor: true,
      answers: { 204: z.void() },
      errors: ['auth.factor_not_found', 'auth.factor_required', 'auth.session_ended'],
      handle: ({ actor }) => remove(deps, actor, 'totp'),
    }),
  ];
}

function email(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/auth/factors/email',
      summary: 'Begin to set up codes by e-mail',
      description:
        'For a confirmed address. A platform admin sets up an authenticator app first, and is asked for that: a mailbox ' +
        'also sets passwords.',
      permission: 'user',
      fresh: true,
      answers: { 202: Sent },
      errors: [
        'auth.address_unverified',
        'auth.factor_exists',
        'auth.factor_required',
        'auth.second_factor_required',
        'auth.session_ended',
        'rate_limited',
      ],
      handle: ({ actor }) => setUpEmail(deps, actor),
    }),
    endpoint({
      post: '/api/auth/factors/email/confirm',
      summary: 'Confirm codes by e-mail with the first one',
      description:
        'Answers with ten new recovery codes, and with an access token that says that a second factor was proved.',
      permission: 'user',
      body: z.strictObject({ code: Code }),
      answers: { 200: Confirmed },
      errors: ['auth.code_refused', 'auth.second_factor_required', 'auth.session_ended', 'rate_limited'],
      handle: ({ actor, body }) => confirm(deps, actor, 'email', body.code),
    }),
    endpoint({
      delete: '/api/auth/factors/email',
      summary: 'Give codes by e-mail up',
      description:
        'The recovery codes go with the last factor. Refused while a second factor is asked of the user and no other is left.',
      permission: 'user',
      fresh: true,
      secondFactor: true,
      answers: { 204: z.void() },
      errors: ['auth.factor_not_found', 'auth.factor_required', 'auth.session_ended'],
      handle: ({ actor }) => remove(deps, actor, 'email'),
    }),
  ];
}
