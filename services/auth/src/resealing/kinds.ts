/** What JWT_SECRET seals and that lasts. */
export const SEALED_KINDS = ['totp_seed', 'session', 'signing_key'] as const;
export type SealedKind = (typeof SEALED_KINDS)[number];
