import express, { type Express } from 'express';
import { createDispatch, type DispatchOptions } from './dispatch.ts';

interface ServiceAppOptions extends DispatchOptions {
  /** Mounts what is not an endpoint (a third party's pages) before them; it authorizes by itself. */
  extend?: (app: Express) => void;
}

/** The HTTP application of a service: its declared endpoints, and nothing beside them. It never listens. */
export function serviceApp({ extend, ...options }: ServiceAppOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  extend?.(app);
  const dispatch = createDispatch(options);
  app.use((req, res) => dispatch(req, res));
  return app;
}
