import type { AuthenticationMethod } from '@gatehouse/contracts/identity';
import { type CachedIdentity, type LastIdentity, NO_STANDING, type Standing } from '../identity/identities.ts';

interface Remembers {
  /** Identities minted for this principal, by audience and organization state. */
  identities: Map<string, CachedIdentity>;
  /** The one that was used last; most principals use no other. */
  lastIdentity: LastIdentity | undefined;
  /** What the guard found the last time; the same object while that is so. */
  lastStanding: Standing;
}

/** A user, by an access token that verified. Whether the session still lives is a fact that is asked every time. */
export interface UserPrincipal extends Remembers {
  kind: 'user';
  user_id: string;
  session_id: string;
  expiresAtMs: number;
  /** When and how the user proved who they are. It only ever gets better with the next token, so the token counts. */
  auth_time: number;
  amr: AuthenticationMethod[];
  /** `amr` says that a second factor was given. */
  mfa: boolean;
  /** The membership that was asked for last, by its organization and the name of its fact. */
  memberOf: string;
  memberKey: string;
}

/** Whoever holds an API key; `hash` is its SHA-256 in hex, by which its fact is asked. */
export interface KeyPrincipal extends Remembers {
  kind: 'api_key';
  hash: string;
}

export interface AnonymousPrincipal extends Remembers {
  kind: 'anonymous';
}

export type Principal = UserPrincipal | KeyPrincipal | AnonymousPrincipal;

export function createPrincipal<P extends Principal>(principal: Omit<NoInfer<P>, keyof Remembers>): P {
  return { ...principal, identities: new Map(), lastIdentity: undefined, lastStanding: NO_STANDING } as unknown as P;
}
