import { FRESH_PROOF_SECONDS, type Identity } from '@gatehouse/contracts/identity';
import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { authorize } from './authorize.ts';
import { type Endpoint, endpoint } from './endpoint.ts';
import { AppError } from './errors.ts';

const ORG = '01890000-0000-7000-8000-000000000001';
const seconds = () => Math.floor(Date.now() / 1000);
const asks = (more: { fresh?: boolean; secondFactor?: boolean }, permission: 'user' | 'platform_admin' = 'user') =>
  endpoint({
    post: '/api/thing',
    summary: 'Do the thing',
    permission,
    answers: { 204: z.void() },
    ...more,
    handle: () => undefined,
  });

function user(about: Partial<Identity> = {}): Identity {
  const now = seconds();
  return {
    iss: 'gatehouse',
    aud: 'auth',
    sub: ORG,
    iat: now,
    exp: now + 60,
    kind: 'user',
    role: 'user',
    auth_time: now,
    amr: ['pwd', 'otp', 'mfa'],
    ...about,
  };
}

/** What the caller is refused with; undefined when it is let through. */
function refusal(what: Endpoint, who: Identity): AppError | undefined {
  try {
    authorize(what, who, {});
    return undefined;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

describe('S054 an endpoint that asks for a fresh proof', () => {
  const fresh = asks({ fresh: true });

  test('S054 takes one of the last ten minutes', () => {
    expect(refusal(fresh, user())).toBeUndefined();
    expect(refusal(fresh, user({ auth_time: seconds() - FRESH_PROOF_SECONDS + 1 }))).toBeUndefined();
  });

  test('S054 refuses an older one and a missing one, and says how to give another', () => {
    const { auth_time: _, ...never } = user();
    for (const who of [user({ auth_time: seconds() - FRESH_PROOF_SECONDS - 7 }), user({ auth_time: 0 }), never]) {
      const error = refusal(fresh, who as Identity);
      expect(error).toMatchObject({
        code: 'auth.reauth_required',
        status: 403,
        extensions: { proof: { post: '/api/auth/reauthenticate', max_age_seconds: FRESH_PROOF_SECONDS } },
      });
      expect(error?.headers?.['www-authenticate']).toContain('error="insufficient_user_authentication"');
    }
  });

  test('S054 takes no trusted device for the second factor: whoever has it and the password proves the rest', () => {
    expect(refusal(fresh, user({ amr: ['pwd', 'mfa'] }))?.code).toBe('auth.reauth_required');
    expect(refusal(fresh, user({ amr: ['pwd', 'email', 'mfa'] }))).toBeUndefined();
  });

  test('S054 does not care how it was given, unless it asks for a second factor as well', () => {
    expect(refusal(fresh, user({ amr: ['pwd'] }))).toBeUndefined();
    const both = asks({ fresh: true, secondFactor: true });
    expect(refusal(both, user({ amr: ['pwd'] }))?.code).toBe('auth.second_factor_required');
    expect(refusal(both, user({ auth_time: 1 }))?.code).toBe('auth.reauth_required');
    expect(refusal(both, user())).toBeUndefined();
  });
});

describe('an endpoint that asks for a second factor', () => {
  const second = asks({ secondFactor: true });

  test('refuses a session that was opened without one, and says how to give or set up one', () => {
    const { amr: _, ...silent } = user();
    for (const who of [
      user({ amr: ['pwd'] }),
      user({ amr: [] }),
      user({ amr: ['otp'] }),
      user({ amr: ['pwd', 'email'] }),
      silent,
    ])
      expect(refusal(second, who as Identity)).toMatchObject({
        code: 'auth.second_factor_required',
        extensions: {
          proof: { post: '/api/auth/reauthenticate', enrol: '/api/auth/factors/totp', second_factor: true },
        },
      });
  });

  test('takes a session of any age that was', () => {
    expect(refusal(second, user({ auth_time: 1 }))).toBeUndefined();
  });
});

test('who may not do it at all is told so, and not asked for a proof', () => {
  const admins = asks({ fresh: true, secondFactor: true }, 'platform_admin');
  expect(refusal(admins, user({ amr: ['pwd'], auth_time: 1 }))?.code).toBe('access.denied');
  expect(refusal(admins, user({ kind: 'anonymous' }))?.code).toBe('auth.required');
  expect(refusal(admins, user({ kind: 'api_key' }))?.code).toBe('access.denied');
  expect(refusal(admins, user({ role: 'admin' }))).toBeUndefined();
});

test('an endpoint that asks for nothing takes an old session without a second factor', () => {
  expect(refusal(asks({}), user({ amr: ['pwd'], auth_time: 1 }))).toBeUndefined();
});
