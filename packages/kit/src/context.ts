import { AsyncLocalStorage } from 'node:async_hooks';

/** What follows one request or one job through logs, events and queries. */
export interface RequestContext {
  request_id: string;
  trace_id: string;
}

export const requestContext = new AsyncLocalStorage<RequestContext>();
