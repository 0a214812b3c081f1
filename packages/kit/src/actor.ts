import type { IncomingMessage } from 'node:http';
import type { AuthenticationMethod, Identity, IdentityOrg, PlatformRole } from '@gatehouse/contracts/identity';
import { plain } from './text.ts';

/** Who acts in a request, and from where: what a handler may rely on and what an event says. */
export interface Actor {
  kind: Identity['kind'];
  user_id?: string;
  session_id?: string;
  key_id?: string;
  role?: PlatformRole;
  /** How the session was authenticated, and when last, in seconds. */
  amr?: AuthenticationMethod[];
  auth_time?: number;
  org?: IdentityOrg;
  request_id: string;
  trace_id: string;
  /** The client's address as nginx saw it. */
  address: string;
  /** What the client says of itself; cut, without control characters. */
  agent: string;
}

export interface UserActor extends Actor {
  kind: 'user';
  user_id: string;
  session_id: string;
  role: PlatformRole;
}

export interface OrgActor extends UserActor {
  org: IdentityOrg;
}

/** A process acting by itself, for events that no request caused. */
export function systemActor(service: string, requestId = ''): Actor {
  return { kind: 'service', request_id: requestId, trace_id: requestId, address: '', agent: service };
}

/** The actor of a request. Address and ids come from headers that only count because the identity is valid. */
export function actorOf(identity: Identity, req: IncomingMessage, requestId: string, traceId: string): Actor {
  const { kind, sub, sid, key_id, role, amr, auth_time, org } = identity;
  return {
    kind,
    ...(kind === 'user' ? { user_id: sub } : {}),
    ...(sid ? { session_id: sid } : {}),
    ...(key_id ? { key_id } : {}),
    ...(role ? { role } : {}),
    ...(amr ? { amr } : {}),
    ...(auth_time ? { auth_time } : {}),
    ...(org ? { org } : {}),
    request_id: requestId,
    trace_id: traceId,
    address: plain(String(req.headers['x-forwarded-for'] ?? ''), 64),
    agent: plain(req.headers['user-agent']),
  };
}
