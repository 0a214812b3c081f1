import type { IncomingMessage, ServerResponse } from 'node:http';
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import type { Queue } from '@gatehouse/kit/queue';

/** The pages, files and actions of the board; who may use them is for the caller to check. */
export function createBullBoardRouter(queues: readonly Queue[], basePath: string) {
  const serverAdapter = new ExpressAdapter();
  serverAdapter.setBasePath(basePath);
  createBullBoard({
    queues: queues.map((queue) => new BullMQAdapter(queue)),
    // Its own type has an optional property where ours asks for `undefined` to be named.
    serverAdapter: serverAdapter as unknown as Parameters<typeof createBullBoard>[0]['serverAdapter'],
    options: { uiConfig: { boardTitle: 'Gatehouse queues', hideRedisDetails: true } },
  });
  return serverAdapter.getRouter() as (req: IncomingMessage, res: ServerResponse, next: () => void) => void;
}
