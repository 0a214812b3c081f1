import { IDENTITY_HEADER } from '@gatehouse/contracts/identity';
import { type Actor, actorOf } from '@gatehouse/kit/actor';
import type { Pool } from '@gatehouse/kit/db';
import { AppError, asAppError, toProblem } from '@gatehouse/kit/errors';
import type { IdentityVerifier } from '@gatehouse/kit/identity';
import { newId } from '@gatehouse/kit/ids';
import { errorFields, type Logger } from '@gatehouse/kit/log';
import { publish } from '@gatehouse/kit/outbox';
import type { Queue } from '@gatehouse/kit/queue';
import express, { type Express, type Request, type RequestHandler } from 'express';
import helmet from 'helmet';
import { createBullBoardRouter } from './bull-board.ts';
import { BOARD_PATH } from './path.ts';

interface BoardDeps {
  pool: Pool;
  log: Logger;
  queues: readonly Queue[];
  verifier: IdentityVerifier;
  publicUrl: string;
}

/** The queue board: its pages, its files and its actions, all behind the same check. */
export function createBoard({ queues, ...deps }: BoardDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  app.use(BOARD_PATH, boardHeaders, onlyPlatformAdmins(deps), createBullBoardRouter(queues, BOARD_PATH));
  return app;
}

// The board's own files and inline styles; nothing from elsewhere, and in nobody's frame.
const boardHeaders = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'self'"],
      styleSrc: ["'self'", "'unsafe-inline'"],
      imgSrc: ["'self'", 'data:'],
      fontSrc: ["'self'", 'data:'],
      objectSrc: ["'none'"],
      frameAncestors: ["'none'"],
      formAction: ["'self'"],
      baseUri: ["'self'"],
    },
  },
});

function onlyPlatformAdmins({ pool, log, verifier, publicUrl }: Omit<BoardDeps, 'queues'>): RequestHandler {
  return async (req, res, next) => {
    const requestId = req.get('x-request-id') ?? newId();
    let actor: Actor | undefined;
    try {
      const identity = verifier(req.get(IDENTITY_HEADER));
      actor = actorOf(identity, req, requestId, requestId);
      if (identity.kind !== 'user') throw new AppError('auth.required');
      if (identity.role !== 'admin') throw new AppError('access.denied');
      if (!reads(req)) {
        refuseForeignOrigin(req, publicUrl);
        // Before it is done: an action that cannot be recorded does not happen.
        await publish(pool, actor, 'work.queue_action.v1', { method: req.method, path: req.path }, { org_id: null });
      }
      res.set('cache-control', 'no-store');
    } catch (error) {
      const known = asAppError(error);
      if (!known) log.error('the queue board failed', errorFields(error));
      await refuse(known ?? new AppError('internal'));
      return;
    }
    next();

    async function refuse(error: AppError): Promise<void> {
      const { status, code } = error;
      if (status === 403 && actor) {
        const data = { method: req.method, route: BOARD_PATH, status, code };
        await publish(pool, actor, 'access.denied.v1', data, { outcome: 'denied' }).catch((failure) =>
          log.error('a refused decision could not be recorded', errorFields(failure)),
        );
      }
      const problem = JSON.stringify(toProblem(error, requestId));
      res.status(status).type('application/problem+json').set('cache-control', 'no-store').send(problem);
    }
  };
}

const reads = (req: Request): boolean => req.method === 'GET' || req.method === 'HEAD';

/** An action must come from our own pages: the credential alone may be sent by a browser that visits another's. */
function refuseForeignOrigin(req: Request, publicUrl: string): void {
  const origin = req.get('origin');
  const site = req.get('sec-fetch-site');
  const foreign =
    origin === undefined ? site !== undefined && site !== 'same-origin' : origin !== new URL(publicUrl).origin;
  if (foreign) throw new AppError('access.denied', 'Actions are taken from the board itself.');
}
