import { type Db, maybe, one, run, sqlState, type Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';

interface Admission {
  actor_id: string;
  platform_admin: boolean;
  org_id: string;
}

const Answer = z.object({ answer: z.enum(['ok', 'denied', 'not_found']) });

/** Asks org's door whether the actor may admit users to the organization. */
export async function mayAdmit(db: Db, { actor_id, platform_admin, org_id }: Admission) {
  const { answer } = await one(db, Answer)`
    select org.may_admit(${actor_id}::uuid, ${platform_admin}::boolean, ${org_id}::uuid) as answer`;
  return answer;
}

/** The door of org: the membership, in this transaction, if the actor may still give it. */
export async function admitUser(tx: Tx, { actor_id, platform_admin, org_id }: Admission, userId: string, role: string) {
  try {
    await run(tx)`
      select org.admit_user(${actor_id}::uuid, ${platform_admin}::boolean, ${org_id}::uuid, ${userId}::uuid, ${role})`;
  } catch (error) {
    const state = sqlState(error);
    if (state === 'GH404') throw new AppError('org.not_found', 'No such organization.', { cause: error });
    if (state === 'GH403') throw new AppError('access.denied', undefined, { cause: error });
    if (state === 'GH409') throw new AppError('org.member_limit_reached', undefined, { cause: error });
    if (state === 'GH422') throw new AppError('org.domain_refused', undefined, { cause: error });
    throw error;
  }
}

const Verification = z.object({
  user_id: z.uuid(),
  email: z.string(),
  name: z.string(),
  password_hash: z.string(),
});
type Verification = z.infer<typeof Verification>;

interface NewVerification extends Verification {
  token_hash: Buffer;
  now: Date;
  expires_at: Date;
}

export async function insertVerification(tx: Tx, verification: NewVerification): Promise<void> {
  const { token_hash, user_id, email, name, password_hash, now, expires_at } = verification;
  await run(tx)`
    insert into auth.email_verifications (token_hash, user_id, email, name, password_hash, created_at, expires_at)
    values (${token_hash}, ${user_id}, ${email}, ${name}, ${password_hash}, ${now}, ${expires_at})`;
}

/** Uses a token up: of many at one instant, one gets the row. */
export function takeVerification(tx: Tx, tokenHash: Buffer, now: Date): Promise<Verification | undefined> {
  return maybe(tx, Verification)`
    delete from auth.email_verifications e
    where e.token_hash = ${tokenHash} and e.expires_at > ${now}
    returning e.user_id, e.email, e.name, e.password_hash`;
}

export async function deleteVerifications(tx: Tx, userId: string): Promise<void> {
  await run(tx)`delete from auth.email_verifications e where e.user_id = ${userId}`;
}
