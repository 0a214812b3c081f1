import { z } from 'zod';
import { Plan, PlatformRole } from './identity.ts';
import { OrgRole } from './permissions.ts';

/** What auth says of a session; `active` already counts the user's own state. */
export const SessionFact = z.object({
  session_id: z.uuid(),
  user_id: z.uuid(),
  active: z.boolean(),
  role: PlatformRole,
  /** Whether the platform lets this user in with a second factor only. Absent from an older release: not. */
  second_factor_required: z.boolean().default(false),
});
export type SessionFact = z.infer<typeof SessionFact>;

export const OrgFact = z.object({
  id: z.uuid(),
  status: z.enum(['active', 'suspended', 'deleted']),
  plan: Plan,
  /** The organization's policies. Absent from an older release: none. */
  second_factor_required: z.boolean().default(false),
  /** How long after a sign-in one may act for the organization, in seconds; null for as long as the session lasts. */
  session_max_seconds: z.int().positive().nullable().default(null),
});
export type OrgFact = z.infer<typeof OrgFact>;

export const MemberFact = z.object({ role: OrgRole });
export type MemberFact = z.infer<typeof MemberFact>;

export const KeyRule = z.strictObject({ method: z.string(), path: z.string() });
export type KeyRule = z.infer<typeof KeyRule>;

export const ApiKeyFact = z.object({
  key_id: z.uuid(),
  org_id: z.uuid(),
  active: z.boolean(),
  scopes: z.array(z.string()),
  rules: z.array(KeyRule),
  addresses: z.array(z.string()),
  expires_at: z.iso.datetime().nullable(),
});
export type ApiKeyFact = z.infer<typeof ApiKeyFact>;

/** Answer of org's guard: what the gateway needs to know before it lets a user act for an organization. */
export const GuardFact = z.object({ org: OrgFact.nullable(), member: MemberFact.nullable() });
export type GuardFact = z.infer<typeof GuardFact>;

/** How many facts the gateway may ask an owner for at once. */
export const FACTS_ASKED_MAX = 500;

/** Answer of auth for many sessions, by id; null: there is no such session. */
export const SessionFacts = z.object({ sessions: z.record(z.string(), SessionFact.nullable()) });
export type SessionFacts = z.infer<typeof SessionFacts>;

/** Answer of org's guard for many, by `guardKey`. */
export const GuardFacts = z.object({ guards: z.record(z.string(), GuardFact) });
export type GuardFacts = z.infer<typeof GuardFacts>;

/** Who in which organization, as a key of `GuardFacts`. */
export const guardKey = (orgId: string, userId: string) => `${orgId}:${userId}`;

/** Redis keys of the facts. Only the owner of a fact writes them; Postgres stays the truth. */
export const factKey = {
  session: (sessionId: string) => `fact:session:${sessionId}`,
  org: (orgId: string) => `fact:org:${orgId}`,
  member: (orgId: string, userId: string) => `fact:member:${orgId}:${userId}`,
  apiKey: (hash: string) => `fact:key:${hash}`,
};
