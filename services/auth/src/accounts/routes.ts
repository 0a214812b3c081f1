import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { line } from '@gatehouse/kit/text';
import { z } from 'zod';
import type { Deps } from '../deps.ts';
import { StoredTime } from '../time.ts';
import { closeOwnAccount, restoreByLink } from './closing.ts';
import { getMe, Me, rename } from './me.ts';

export function accountRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/auth/me',
      summary: 'Who is signed in',
      description:
        'The account of the session that asks, how that session was authenticated, and what waits for a confirmation.',
      permission: 'user',
      answers: { 200: Me },
      errors: ['auth.session_ended'],
      handle: ({ actor }) => getMe(deps, actor),
    }),
    endpoint({
      patch: '/api/auth/me',
      summary: 'Change the own name',
      permission: 'user',
      body: z.strictObject({ name: line(100) }),
      answers: { 200: Me },
      errors: ['auth.session_ended'],
      handle: ({ actor, body }) => rename(deps, actor, body.name),
    }),
    endpoint({
      delete: '/api/auth/me',
      summary: 'Delete the own account',
      description:
        'Nobody signs in to the account from now on, and all its sessions end. It is deleted for good at ' +
        'deletion_due_at; until then the link in the mail keeps it. Who is the only owner of an organization that ' +
        'others belong to hands it over first.',
      permission: 'user',
      fresh: true,
      answers: { 202: z.object({ deletion_due_at: StoredTime }) },
      errors: ['auth.last_admin', 'auth.reauth_required', 'auth.session_ended', 'org.last_owner'],
      handle: ({ actor }) => closeOwnAccount(deps, actor),
    }),
    endpoint({
      post: '/api/auth/restore',
      summary: 'Keep an account that is about to be deleted, with the token from the mail',
      description: 'Signs nobody in; sessions that ended stay so.',
      permission: 'public',
      body: z.strictObject({ token: z.string().min(1).max(256) }),
      answers: { 204: z.void() },
      errors: ['auth.token_refused'],
      bodyLimit: 16 * 1024,
      handle: ({ actor, body }) => restoreByLink(deps, actor, body.token),
    }),
  ];
}
