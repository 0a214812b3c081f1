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

/**
 * Every mail that the platform sends. A template that carries a token takes it from the job's sealed secret, never
 * from here.
 */
export const Mail = z.discriminatedUnion('template', [
  /** Secret: the token that proves the address. */
  mail('verify-address', { name: z.string() }),
  /** To the owner of an address that somebody tried to register again. No secret. */
  mail('address-taken', { name: z.string() }),
]);
export type Mail = z.infer<typeof Mail>;
export type MailTemplate = Mail['template'];

/** How the secret of a mail is sealed: `seal(deriveKey(MAIL_KEY, purpose), token, aad)`. */
export const MAIL_SECRET = { purpose: 'mail', aad: 'events.jobs.secret' } as const;

/** Work that happens later, by name. A payload holds no secret: that travels sealed, beside it. */
export const JOBS = {
  'mail.send': { queue: 'mail', payload: Mail },
} as const satisfies Record<string, JobDefinition>;

export type JobName = keyof typeof JOBS;
export type JobPayload<N extends JobName> = z.infer<(typeof JOBS)[N]['payload']>;
