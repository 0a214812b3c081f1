import type { ErrorCode } from '@gatehouse/contracts/errors';
import { PlatformRole } from '@gatehouse/contracts/identity';
import type { UserActor } from '@gatehouse/kit/actor';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { Page, pageOf } from '@gatehouse/kit/page';
import { line } from '@gatehouse/kit/text';
import { z } from 'zod';
import { Profile } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';
import { StoredTime } from '../time.ts';
import {
  changeRole,
  close,
  disable,
  enable,
  endSessions,
  forceReset,
  resetFactors,
  restore,
  unlock,
} from './actions.ts';
import { AccountStatus } from './store.ts';
import { bootstrapState, getUser, listLocked, listUsers } from './users.ts';

const ListedUser = Profile.extend({
  status: AccountStatus,
  email_verified: z.boolean(),
  created_at: StoredTime,
});

const Lock = z.object({
  locked_at: StoredTime,
  /** Null: until somebody proves to be the owner. */
  locked_until: StoredTime.nullable(),
});

const UserDetail = ListedUser.extend({
  disabled_at: StoredTime.nullable(),
  disabled_reason: z.string().nullable(),
  deletion_due_at: StoredTime.nullable(),
  password_reset_required: z.boolean(),
  has_password: z.boolean(),
  second_factors: z.array(z.enum(['totp', 'email', 'recovery'])),
  /** Sessions that live. */
  sessions: z.int(),
  last_used_at: StoredTime.nullable(),
  lock: Lock.nullable(),
});

const Lockout = Lock.extend({ user_id: z.uuid(), email: Profile.shape.email, name: z.string() });

const BootstrapState = z.object({
  completed: z.boolean(),
  completed_at: StoredTime.nullable(),
  /** Address and name are null when the account is deleted. */
  by: z.object({ id: z.uuid(), email: Profile.shape.email.nullable(), name: z.string().nullable() }).nullable(),
  org_id: z.uuid().nullable(),
});

const UserId = z.strictObject({ user_id: z.uuid() });
const Reason = z.strictObject({ reason: line(500) });
const Query = Page.extend({
  /** The beginning of an e-mail address or a name; every character stands for itself. */
  q: line(254).optional(),
  status: AccountStatus.optional(),
  role: PlatformRole.optional(),
});

const admin = { permission: 'platform_admin', secondFactor: true } as const;

interface Action {
  path: string;
  summary: string;
  description: string;
  errors?: ErrorCode[];
  act: (deps: Deps, actor: UserActor, change: { user_id: string; reason: string }) => Promise<unknown>;
}

const ACTIONS: readonly Action[] = [
  {
    path: 'disable',
    summary: 'Disable a user',
    description:
      'The user cannot sign in any more. Sessions, links, codes and trusted devices end at once. Nobody disables themselves, nor the last administrator.',
    errors: ['auth.last_admin', 'conflict'],
    act: disable,
  },
  {
    path: 'enable',
    summary: 'Enable a disabled user',
    description: 'The user may sign in again. What was ended with the disabling stays ended.',
    errors: ['conflict'],
    act: enable,
  },
  {
    path: 'end-sessions',
    summary: 'End every session of a user',
    description: 'The user is signed out everywhere within a second and may sign in again.',
    act: endSessions,
  },
  {
    path: 'unlock',
    summary: 'End the lock of a user',
    description:
      'Ends the lock and the delays that failed sign-ins brought, and the stop that wrong codes did. Their counts start anew.',
    act: unlock,
  },
  {
    path: 'reset-password',
    summary: 'Make a user set a new password',
    description:
      'The password counts no more: sessions end, and the user is mailed the link that sets a new one. A sign-in with the old password is refused with auth.password_reset_required.',
    errors: ['conflict'],
    act: forceReset,
  },
  {
    path: 'reset-factors',
    summary: 'Remove the second factors of a user who has lost them',
    description:
      'For whoever has neither the authenticator app nor a recovery code any more: first make sure, by another way than mail, that it is the user who asks. Every second factor and recovery code goes, sessions and trusted devices end, and the user is told by mail. Where a second factor is asked for, the next sign-in sets one up. Nobody does this to the own account.',
    errors: ['conflict'],
    act: resetFactors,
  },
  {
    path: 'delete',
    summary: 'Delete a user, with a grace period',
    description:
      'The account closes at once and is deleted when the grace period is over; until then it can be restored. An organization is never left without an owner, nor the platform without an administrator.',
    errors: ['auth.last_admin', 'org.last_owner', 'conflict'],
    act: close,
  },
  {
    path: 'restore',
    summary: 'Keep a user whose account is closing',
    description: 'The account stays. One that is disabled as well stays disabled.',
    errors: ['conflict'],
    act: restore,
  },
];

/** What platform administrators see of users, and do to them: with a second factor, and each change with fresh proof. */
export function adminRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      get: '/api/admin/users',
      summary: 'Search users',
      description:
        'Newest first. `q` is the beginning of an e-mail address or a name, in any case of its letters. Guests of an ' +
        'address that nobody has confirmed are listed for `role=guest` only.',
      ...admin,
      query: Query,
      answers: { 200: pageOf(ListedUser) },
      handle: ({ query }) => listUsers(deps, query),
    }),
    endpoint({
      get: '/api/admin/users/:user_id',
      summary: 'One user with status, second factors, sessions and lock',
      ...admin,
      params: UserId,
      answers: { 200: UserDetail },
      errors: ['auth.account_not_found'],
      handle: ({ params }) => getUser(deps, deps.pool, params.user_id),
    }),
    endpoint({
      patch: '/api/admin/users/:user_id',
      summary: 'Change the platform role of a user',
      description: 'The sessions of the user end. The last administrator keeps the role.',
      ...admin,
      fresh: true,
      params: UserId,
      body: Reason.extend({ role: z.enum(['admin', 'user']) }),
      answers: { 200: UserDetail },
      errors: ['auth.account_not_found', 'auth.last_admin', 'auth.session_ended', 'conflict'],
      handle: ({ actor, params, body }) => changeRole(deps, actor, { ...params, ...body }),
    }),
    ...ACTIONS.map(({ path, summary, description, errors = [], act }) =>
      endpoint({
        post: `/api/admin/users/:user_id/${path}`,
        summary,
        description,
        ...admin,
        fresh: true,
        params: UserId,
        body: Reason,
        answers: { 200: UserDetail },
        errors: ['auth.account_not_found', 'auth.session_ended', ...errors],
        handle: ({ actor, params, body }) => act(deps, actor, { ...params, ...body }),
      }),
    ),
    endpoint({
      get: '/api/admin/lockouts',
      summary: 'Who is locked for strangers now',
      description:
        'The latest first. A device that the account knows is not locked with it, and the mail to its owner brings the link that ends the lock.',
      ...admin,
      query: Page,
      answers: { 200: pageOf(Lockout) },
      handle: ({ query }) => listLocked(deps, query),
    }),
    endpoint({
      get: '/api/admin/bootstrap',
      summary: 'When the platform was bootstrapped, and by whom',
      ...admin,
      answers: { 200: BootstrapState },
      handle: () => bootstrapState(deps),
    }),
  ];
}
