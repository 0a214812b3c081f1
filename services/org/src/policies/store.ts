import { maybe, run, type Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';

export const Policies = z.object({
  require_second_factor: z.boolean(),
  /** None stands for any. */
  allowed_domains: z.array(z.string()),
  session_max_seconds: z.int().nullable(),
  retention_days: z.int().nullable(),
});
export type Policies = z.infer<typeof Policies>;

export async function getPolicies(tx: Tx, orgId: string): Promise<Policies> {
  const policies = await maybe(tx, Policies)`
    select o.require_second_factor, o.allowed_domains, o.session_max_seconds, o.retention_days
    from org.organizations o where o.id = ${orgId} and o.status <> 'deleted'`;
  if (!policies) throw new AppError('org.not_found', 'No such organization.');
  return policies;
}

export async function updatePolicies(tx: Tx, orgId: string, policies: Policies, now: Date): Promise<void> {
  const { require_second_factor, allowed_domains, session_max_seconds, retention_days } = policies;
  await run(tx)`
    update org.organizations o
    set require_second_factor = ${require_second_factor}, allowed_domains = ${allowed_domains},
      session_max_seconds = ${session_max_seconds}, retention_days = ${retention_days}, updated_at = ${now}
    where o.id = ${orgId}`;
}

/** Whether the organization admits the mail domain of a normalised address; org.assert_place decides alike. */
export function admitsDomain({ allowed_domains }: Policies, email: string): boolean {
  return allowed_domains.length === 0 || allowed_domains.includes(email.slice(email.lastIndexOf('@') + 1));
}
