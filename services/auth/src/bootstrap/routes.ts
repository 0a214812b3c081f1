import { Plan } from '@gatehouse/contracts/identity';
import { type Endpoint, endpoint } from '@gatehouse/kit/endpoint';
import { line } from '@gatehouse/kit/text';
import { z } from 'zod';
import { Profile } from '../accounts/accounts.ts';
import { EmailAddress } from '../addresses.ts';
import type { Deps } from '../deps.ts';
import { Password } from '../passwords/passwords.ts';
import { assertNotBootstrapped, bootstrap } from './bootstrap.ts';

export function bootstrapRoutes(deps: Deps): Endpoint[] {
  return [
    endpoint({
      post: '/api/bootstrap',
      summary: 'Create the first organization and the first admin, once',
      permission: 'public',
      body: z.strictObject({
        secret: z.string().max(1024).optional(),
        organization: z.strictObject({ name: line(100) }),
        admin: z.strictObject({ email: EmailAddress, name: line(100), password: Password }),
      }),
      answers: {
        201: z.object({
          user: Profile,
          organization: z.object({ id: z.uuid(), name: z.string(), slug: z.string(), plan: Plan }),
        }),
      },
      errors: ['bootstrap.completed', 'bootstrap.secret_wrong', 'overloaded'],
      bodyLimit: 16 * 1024,
      before: () => assertNotBootstrapped(deps),
      handle: ({ actor, body }) => bootstrap(deps, actor, body),
    }),
  ];
}
