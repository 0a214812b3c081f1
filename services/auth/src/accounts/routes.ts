import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { line } from '@gatehouse/kit/text';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { getMe, Me, rename } from './accounts.ts';

export function accountRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/auth/me',
      summary: 'Who is signed in',
      permission: 'user',
      answers: { 200: Me },
      handle: ({ actor }) => getMe(deps, actor),
    }),
    endpoint({
      patch: '/api/auth/me',
      summary: 'Change the own name',
      permission: 'user',
      body: z.strictObject({ name: line(100) }),
      answers: { 200: Me },
      handle: ({ actor, body }) => rename(deps, actor, body.name),
    }),
  ];
}
