import { z } from 'zod';

/** What may be asked for beside the password. */
export const FactorMethod = z.enum(['totp', 'email', 'recovery']);
export type FactorMethod = z.infer<typeof FactorMethod>;
/** The methods that one sets up; recovery codes come with them. */
export const EnrollableMethod = z.enum(['totp', 'email']);
export type EnrollableMethod = z.infer<typeof EnrollableMethod>;

export const Factor = z.object({
  method: FactorMethod,
  added_at: z.date(),
  last_used_at: z.date().nullable(),
  /** Recovery codes that are left; null for other methods. */
  left: z.number().nullable(),
});
export type Factor = z.infer<typeof Factor>;

/** A code as it is typed. */
export const Code = z.string().trim().min(1, 'must not be empty').max(64, 'is too long');

/** What an authenticator app is set up with. */
export const TotpSetUp = z.object({
  /** Base 32, for who types it. */
  secret: z.string(),
  otpauth_uri: z.string(),
  /** The same as a picture to scan. */
  qr_svg: z.string(),
  /** Seconds until it must be confirmed. */
  expires_in: z.int(),
});
