import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { readClient } from '../devices/devices.ts';
import { Code, EnrollableMethod, FactorMethod, TotpSetUp } from '../factors/methods.ts';
import { COOKIES_TOLD, SessionWish, sessionMode, tokenAnswer } from '../sessions/cookie-mode.ts';
import { SignedIn } from '../sign-in/sign-in.ts';
import { enrolInChallenge, sendChallengeCode } from './challenges.ts';
import { verifyChallenge } from './verify.ts';

const ChallengeToken = z.string().min(1).max(128);
const Sent = z.object({ expires_in: z.int() });
const Enrolment = z.discriminatedUnion('method', [
  TotpSetUp.extend({ method: z.literal('totp') }),
  Sent.extend({ method: z.literal('email') }),
]);

export function challengeRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/auth/challenge/code',
      summary: 'Mail a code for a sign-in that waits for a second factor',
      description: 'Three for a challenge at most. Each makes the one before worthless; the guesses stay counted.',
      permission: 'public',
      body: z.strictObject({ challenge_token: ChallengeToken }),
      answers: { 202: Sent },
      errors: ['auth.challenge_refused', 'auth.factor_not_found', 'rate_limited'],
      bodyLimit: 4 * 1024,
      handle: ({ actor, body }) => sendChallengeCode(deps, actor, body.challenge_token),
    }),
    endpoint({
      post: '/api/auth/challenge/enrol',
      summary: 'Begin to set up the second factor without which a sign-in does not end',
      description:
        'For a sign-in that was answered with `enrol`: the platform or an organization asks for a second factor, and ' +
        'the user has none. The sign-in ends at `/api/auth/challenge/verify` with the first code.',
      permission: 'public',
      body: z.strictObject({ challenge_token: ChallengeToken, method: EnrollableMethod }),
      answers: { 200: Enrolment },
      errors: ['auth.address_unverified', 'auth.challenge_refused', 'auth.factor_not_found', 'rate_limited'],
      bodyLimit: 4 * 1024,
      handle: ({ actor, body }) => enrolInChallenge(deps, actor, body.challenge_token, body.method),
    }),
    endpoint({
      post: '/api/auth/challenge/verify',
      summary: 'End a sign-in with its second factor',
      description:
        'A challenge makes one session, within five minutes, and is over after five wrong codes. Ten wrong codes of an ' +
        'account in 15 minutes, whatever they were tried at, stop all of them until the window ends. With ' +
        '`trust_device` this device stands for the second factor for 30 days.',
      permission: 'public',
      body: z.strictObject({
        challenge_token: ChallengeToken,
        method: FactorMethod,
        code: Code,
        trust_device: z.boolean().default(false),
        session: SessionWish,
      }),
      answers: {
        // The codes come with a factor that was set up just now, and are shown nowhere else.
        200: SignedIn.extend({ recovery_codes: z.array(z.string()).optional() }).meta(COOKIES_TOLD),
      },
      errors: [
        'auth.challenge_refused',
        'auth.code_refused',
        'auth.factor_not_found',
        'auth.origin_refused',
        'rate_limited',
      ],
      bodyLimit: 4 * 1024,
      async handle({ actor, body, headers }) {
        const { session, ...given } = body;
        const mode = sessionMode(deps, headers, session);
        const answer = await verifyChallenge(deps, actor, { ...given, client: readClient(headers, mode) });
        return tokenAnswer(deps, answer.body, answer.cookies, mode);
      },
    }),
  ];
}
