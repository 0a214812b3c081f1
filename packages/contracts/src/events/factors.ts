import { z } from 'zod';

/** What a user may prove beside the password. */
const method = z.enum(['totp', 'email', 'recovery']);
const user_id = z.uuid();
const session_id = z.uuid().optional();
const challenge_id = z.uuid().optional();

/** What happens to second factors, to the sign-ins that wait for one, and to proofs given anew. */
export const FACTOR_EVENTS = {
  'auth.factor_added.v1': { kind: 'security', data: z.strictObject({ user_id, method }) },
  'auth.factor_removed.v1': { kind: 'security', data: z.strictObject({ user_id, method }) },
  'auth.factor_refused.v1': {
    kind: 'security',
    data: z.strictObject({ user_id, method, reason: z.enum(['wrong_code', 'throttled']), session_id, challenge_id }),
  },
  /** An administrator took them all, for a user who has lost what they were proved with. */
  'auth.user_factors_reset.v1': {
    kind: 'admin_action',
    data: z.strictObject({
      user_id,
      reason: z.string(),
      old: z.strictObject({ second_factors: z.array(method) }),
      new: z.strictObject({ second_factors: z.array(method) }),
    }),
  },
  'auth.recovery_codes_replaced.v1': { kind: 'security', data: z.strictObject({ user_id }) },
  'auth.recovery_code_used.v1': { kind: 'security', data: z.strictObject({ user_id, left: z.int() }) },
  'auth.code_sent.v1': {
    kind: 'security',
    data: z.strictObject({ user_id, purpose: z.enum(['sign_in', 'reauthenticate', 'enrol']) }),
  },
  'auth.challenge_opened.v1': {
    kind: 'security',
    data: z.strictObject({ user_id, challenge_id: z.uuid(), asks: z.enum(['verify', 'enrol']) }),
  },
  'auth.challenge_refused.v1': {
    kind: 'security',
    data: z.strictObject({
      user_id: z.uuid().optional(),
      challenge_id,
      reason: z.enum(['unknown', 'expired', 'account_changed']),
    }),
  },
  'auth.reauthenticated.v1': {
    kind: 'security',
    data: z.strictObject({ user_id, session_id: z.uuid(), amr: z.array(z.string()) }),
  },
  'auth.reauthentication_failed.v1': {
    kind: 'security',
    data: z.strictObject({ user_id, session_id: z.uuid(), reason: z.enum(['wrong_password', 'throttled']) }),
  },
} as const;
