import { randomFillSync } from 'node:crypto';

const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;
// W3C Trace Context, version 00; ids of zeros are invalid.
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

const POOL_BYTES = 4096;
const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;

/** Random lower-case hex; drawn from a pool, because a system call for every request is what it would cost else. */
function randomHex(bytes: number): string {
  if (used + bytes > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return pool.toString('hex', used - bytes, used);
}

export interface Trace {
  requestId: string;
  traceId: string;
  traceparent: string;
}

/** The ids that the proxy in front gave, where it is trusted and they are well-formed; new ones else. */
export function readTrace(trusted: boolean, requestId: string | undefined, traceparent: string | undefined): Trace {
  const given = trusted && traceparent !== undefined && TRACEPARENT.test(traceparent) ? traceparent : undefined;
  const traceId = given ? given.slice(3, 35) : randomHex(16);
  return {
    requestId: trusted && requestId !== undefined && REQUEST_ID.test(requestId) ? requestId : traceId,
    traceId,
    traceparent: given ?? `00-${traceId}-${randomHex(8)}-00`,
  };
}
