import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import { IDENTITY_HEADER } from '@gatehouse/contracts/identity';
import { AppError, asAppError, toProblem } from '@gatehouse/kit/errors';
import type { IdentityVerifier } from '@gatehouse/kit/identity';
import { newId } from '@gatehouse/kit/ids';
import type { Queue } from '@gatehouse/kit/queue';
import type { Express, Request, RequestHandler } from 'express';

export const BOARD_PATH = '/admin/queues';

interface BoardDeps {
  queues: Iterable<Queue>;
  verifier: IdentityVerifier;
  publicUrl: string;
}

/** Mounts the queue board: its pages, its files and its actions, all behind the same check. */
export function mountBoard(app: Express, { queues, verifier, publicUrl }: BoardDeps): void {
  const serverAdapter = new ExpressAdapter();
  serverAdapter.setBasePath(BOARD_PATH);
  createBullBoard({
    queues: [...queues].map((queue) => new BullMQAdapter(queue)),
    // Its own type has an optional property where ours asks for `undefined` to be named.
    serverAdapter: serverAdapter as unknown as Parameters<typeof createBullBoard>[0]['serverAdapter'],
    options: { uiConfig: { boardTitle: 'Gatehouse queues', hideRedisDetails: true } },
  });
  app.use(BOARD_PATH, onlyPlatformAdmins(verifier, publicUrl), serverAdapter.getRouter());
}

// The board's own files and inline styles; nothing from elsewhere, and in nobody's frame.
const POLICY =
  "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
  "connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'";

function onlyPlatformAdmins(verifier: IdentityVerifier, publicUrl: string): RequestHandler {
  return (req, res, next) => {
    try {
      const identity = verifier(req.get(IDENTITY_HEADER));
      if (identity.kind !== 'user') throw new AppError('auth.required');
      if (identity.role !== 'admin') throw new AppError('access.denied');
      refuseForeignOrigin(req, publicUrl);
      res.set({ 'content-security-policy': POLICY, 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
      next();
    } catch (error) {
      const known = asAppError(error) ?? new AppError('internal');
      const problem = toProblem(known, req.get('x-request-id') ?? newId());
      res
        .status(known.status)
        .type('application/problem+json')
        .set('cache-control', 'no-store')
        .send(JSON.stringify(problem));
    }
  };
}

/** An action must come from our own pages: the credential alone may be sent by a browser that visits another's. */
function refuseForeignOrigin(req: Request, publicUrl: string): void {
  if (req.method === 'GET' || req.method === 'HEAD') return;
  const origin = req.get('origin');
  const site = req.get('sec-fetch-site');
  const foreign =
    origin === undefined ? site !== undefined && site !== 'same-origin' : origin !== new URL(publicUrl).origin;
  if (foreign) throw new AppError('access.denied', 'Actions are taken from the board itself.');
}
