import type { Endpoint } from '@gatehouse/kit/endpoint';
import { endpoints as gateway } from '../gateway/src/own/reference.ts';
import { endpoints as audit } from '../services/audit/src/app.ts';
import { endpoints as auth } from '../services/auth/src/app.ts';
import { endpoints as org } from '../services/org/src/app.ts';
import { endpoints as worker } from '../services/worker/src/app.ts';

// Endpoints are declared with what their handlers use; nothing of it is touched before a request.
const NOTHING = {} as never;

// The default first. What a mode declares otherwise at the same path is shown beside it.
const authInEveryMode = (['admin', 'open', 'invite'] as const).flatMap((REGISTRATION_MODE) =>
  auth({ config: { REGISTRATION_MODE } } as never),
);
const saysTheSame = (one: Endpoint, other: Endpoint) =>
  one.method === other.method && one.path === other.path && one.summary === other.summary;

/** Every declared endpoint of the platform, by the process that answers it. */
export const ENDPOINTS: Record<string, readonly Endpoint[]> = {
  auth: authInEveryMode.filter((one, index, all) => all.findIndex((other) => saysTheSame(one, other)) === index),
  org: org(NOTHING),
  audit: audit(NOTHING),
  worker: worker(),
  gateway: gateway(),
};
