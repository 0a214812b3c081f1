import { z } from 'zod';

interface JobDefinition {
  queue: 'mail' | 'maintenance';
  payload: z.ZodType;
}

const mail = <T extends string, P extends z.ZodRawShape>(template: T, params: P) =>
  z.strictObject({
    template: z.literal(template),
    // What HTML takes for an address: zod's own pattern refuses names that people have and that we let register.
    to: z.email({ pattern: z.regexes.html5Email }),
    params: z.strictObject(params),
    /** After this moment the mail is of no use and is not sent. */
    expires_at: z.iso.datetime().optional(),
  });

/** From where and when something happened that the reader is told of. */
const occasion = { device: z.string(), address: z.string(), at: z.iso.datetime() };

/**
 * Every mail that the platform sends. A template that carries a token takes it from the job's sealed secret, never
 * from here.
 */
export const Mail = z.discriminatedUnion('template', [
  /** Secret: the token that proves the address. */
  mail('verify-address', { name: z.string() }),
  /** To the owner of an address that somebody tried to register again. No secret. */
  mail('address-taken', { name: z.string() }),
  /** A one-time code. Secret: the code. */
  mail('code', { name: z.string(), purpose: z.enum(['sign_in', 'reauthenticate', 'enrol']), minutes: z.int() }),
  /** Secret: the token of "this was not me". */
  mail('new-device', { name: z.string(), ...occasion }),
  mail('password-changed', { name: z.string(), ...occasion }),
  /** Secret: the token that sets a new password. */
  mail('password-reset', { name: z.string() }),
  /** `note` is what the inviter wrote. Secret: the token that accepts. */
  mail('invitation', {
    organization: z.string(),
    inviter: z.string(),
    role: z.string(),
    note: z.string().optional(),
    until: z.iso.datetime(),
  }),
  /** Secret: the token that lifts the lock. */
  mail('sign-in-blocked', { name: z.string(), until: z.iso.datetime(), ...occasion }),
  mail('refresh-reused', { name: z.string(), ...occasion }),
  /** To both addresses of a change; each must confirm. `new_email` is masked for the old one. Secret: its token. */
  mail('email-change', { name: z.string(), side: z.enum(['old', 'new']), new_email: z.string() }),
  mail('email-changed', { name: z.string(), new_email: z.string(), ...occasion }),
  mail('factor-changed', {
    name: z.string(),
    change: z.enum([
      'totp_added',
      'totp_removed',
      'email_added',
      'email_removed',
      'recovery_codes_replaced',
      'reset_by_admin',
    ]),
    ...occasion,
  }),
  /** The account will be deleted. Secret: the token that keeps it. */
  mail('account-closing', { name: z.string(), until: z.iso.datetime() }),
  /** To the owners of an organization whose key was found in public. */
  mail('api-key-leaked', {
    name: z.string(),
    organization: z.string(),
    key_name: z.string(),
    prefix: z.string(),
    url: z.string().optional(),
  }),
]);
export type Mail = z.infer<typeof Mail>;
export type MailTemplate = Mail['template'];

/** How the secret of a mail is sealed: `seal(deriveSealingKeys(MAIL_KEY, MAIL_KEY_ALTERNATE, purpose), token, aad)`. */
export const MAIL_SECRET = { purpose: 'mail', aad: 'events.jobs.secret' } as const;

/** Work that happens later, by name. A payload holds no secret: that travels sealed, beside it. */
export const JOBS = {
  'mail.send': { queue: 'mail', payload: Mail },
} as const satisfies Record<string, JobDefinition>;

export type JobName = keyof typeof JOBS;
export type JobPayload<N extends JobName> = z.infer<(typeof JOBS)[N]['payload']>;
