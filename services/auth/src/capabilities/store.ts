import { run, type Tx } from '@gatehouse/kit/db';

/** Registrations of an address that were not confirmed, with the passwords that they brought. */
export async function deleteVerificationsOf(tx: Tx, userId: string): Promise<void> {
  await run(tx)`delete from auth.email_verifications e where e.user_id = ${userId}`;
}

export async function deleteEmailChangeOf(tx: Tx, userId: string): Promise<void> {
  await run(tx)`delete from auth.email_changes c where c.user_id = ${userId}`;
}

/** The door of org: what was mailed to the address is not enough any more to accept an invitation. */
export async function cancelInvitationLinks(tx: Tx, email: string): Promise<void> {
  await run(tx)`select org.cancel_invitation_links(${email})`;
}
