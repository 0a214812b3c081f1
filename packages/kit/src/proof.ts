/** What a refusal says of the proof that is missing: members of its problem document, and the header of RFC 9470. */
export interface ProofAsked {
  extensions: { proof: Record<string, unknown> };
  challenge: string;
}

const REAUTHENTICATE = '/api/auth/reauthenticate';
const ENROL = '/api/auth/factors/totp';

/** A second factor: who has one proves it, who has none sets one up. */
export const SECOND_FACTOR_PROOF: ProofAsked = {
  extensions: { proof: { post: REAUTHENTICATE, enrol: ENROL, second_factor: true } },
  challenge: 'Bearer error="insufficient_user_authentication", acr_values="mfa"',
};

/** A sign-in, or a new proof of who one is, that is not older than so many seconds. */
export function freshProof(maxAgeSeconds: number): ProofAsked {
  return {
    extensions: { proof: { post: REAUTHENTICATE, max_age_seconds: maxAgeSeconds } },
    challenge: `Bearer error="insufficient_user_authentication", max_age="${maxAgeSeconds}"`,
  };
}
