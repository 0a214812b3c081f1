import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Plan } from '@gatehouse/contracts/identity';
import { methodLabel } from '@gatehouse/kit/durations';
import { type AnonymousPrincipal, createPrincipal, type Principal } from './credentials/principals.ts';
import type { DecisionReason, Refusal } from './errors/problem.ts';
import type { Forwarding } from './forward/forwarding.ts';
import { NO_STANDING, type Standing } from './identity/identities.ts';
import type { Spent } from './quota/quota.ts';
import type { RequestHead } from './requests/head.ts';
import type { Route } from './routes/routes.ts';

const ANONYMOUS = createPrincipal<AnonymousPrincipal>({ kind: 'anonymous' });

/**
 * One request on its way. A class, and one object with every field from the start, because it is made for every
 * request and read at every step: V8 keeps one shape for all of them.
 */
export class Exchange {
  readonly req: IncomingMessage;
  /** Absent for an upgrade, which is answered on the bare socket. */
  readonly res: ServerResponse | undefined;
  readonly socket: Duplex;
  readonly head: RequestHead;
  readonly startedAt = performance.now();
  readonly method: string;

  path = '';
  query = '';
  address = '';
  limiterKey = '';
  requestId = '';
  traceId = '';
  traceparent = '';
  /** The allowed origin that the answer names. */
  allowedOrigin: string | undefined;
  expectsContinue = false;

  route: Route | undefined;
  /** What metrics and logs call the route. */
  template: string;
  isPublic = false;
  /** What is wrong with the request itself; it is refused, and recorded, within the address's quota only. */
  fault: Refusal | undefined;
  /** How many steps of the pipeline are done. */
  step = 0;
  /** How often the request had to wait for something and asked again. */
  waits = 0;
  principal: Principal = ANONYMOUS;
  standing: Standing = NO_STANDING;
  /** By which the quotas of users and keys are measured. */
  plan: Plan = 'free';
  /** Whose plan's requests of the day this one is one of. */
  quotaOrg: string | undefined;
  spent: Spent | undefined;
  refused: Refusal | undefined;
  decision: DecisionReason | undefined;

  forwarding: Forwarding | undefined;
  /** Its place among the requests under way; -1 when it is not among them. */
  place = -1;
  /** Answered, or the client has left: nothing more is to be said. */
  done = false;
  status = 0;

  constructor(
    req: IncomingMessage,
    res: ServerResponse | undefined,
    socket: Duplex,
    head: RequestHead,
    template: string,
  ) {
    this.req = req;
    this.res = res;
    this.socket = socket;
    this.head = head;
    this.method = req.method ?? '';
    this.template = template;
  }

  /** For logs: what is no method that we know is not repeated there. */
  get methodLabel(): string {
    return methodLabel(this.method);
  }

  becomeAnonymous(): void {
    this.principal = ANONYMOUS;
    this.standing = NO_STANDING;
  }
}
