import type { Actor } from '@gatehouse/kit/actor';
import { type Db, type Tx, transaction } from '@gatehouse/kit/db';
import { newId } from '@gatehouse/kit/ids';
import { publish } from '@gatehouse/kit/outbox';
import { accountLabel, lockUser } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';
import type { Client } from '../devices/devices.ts';
import { endSessionsOf } from '../sessions/sessions.ts';
import { completeSignIn, type SignIn } from '../sign-in/sign-in.ts';
import { endGuests, findByTag, type Guest, insertGuest, listVisited, lockGuests } from './store.ts';

export type { Guest } from './store.ts';

/** So many guests of an address visit at a time; a newer one takes the place of the oldest. */
const GUESTS_MAX = 10;

interface Registration {
  email: string;
  name: string;
  password_hash: string;
  password_tag: number;
  confirm_by: Date;
  now: Date;
}

/**
 * Lets whoever registers an address visit as a guest, who reads and confirms: a row beside whatever account or claim the
 * address has, so that it tells nothing of them and takes nothing from them.
 */
export async function admitGuest(deps: Deps, tx: Tx, actor: Actor, registration: Registration): Promise<void> {
  const { email, now } = registration;
  await lockGuests(tx, email);
  await endVisits(deps, tx, actor, { email, reason: 'replaced', keep: GUESTS_MAX - 1 });
  const id = newId();
  await insertGuest(tx, { ...registration, id, now });
  const registered = { user_id: id, account: accountLabel(deps, email) };
  await publish(tx, actor, 'auth.guest_registered.v1', registered, { target: { type: 'user', id } });
}

/** The guest of an address whose password this may be; its hash has to tell. */
export function findGuest(deps: Pick<Deps, 'clock' | 'hasher'>, db: Db, email: string, password: string) {
  return findByTag(db, email, deps.hasher.tag(password), deps.clock());
}

/** Opens the session of a guest whose password was verified; undefined when the visit has ended meanwhile. */
export function signInGuest(deps: Deps, actor: Actor, { id, password_hash }: Guest, client: Client) {
  return transaction(deps.pool, async (tx): Promise<SignIn | undefined> => {
    const guest = await lockUser(tx, id);
    const visits = guest?.status === 'active' && guest.confirm_by !== null && guest.confirm_by > deps.clock();
    if (!visits || guest.password_hash !== password_hash) return undefined;
    return completeSignIn(deps, tx, actor, guest, { amr: ['pwd'], client });
  });
}

/**
 * Ends the visits to an address that somebody has proved to own, or that has an account from now on: whoever else
 * registered it goes. After whatever locks the account of the address.
 */
export async function endGuestsOf(deps: GuestDeps, tx: Tx, actor: Actor, email: string): Promise<void> {
  await lockGuests(tx, email);
  await endVisits(deps, tx, actor, { email, reason: 'address_confirmed', keep: 0 });
}

/** The same for many addresses at once. */
export async function endGuestsOfAll(deps: GuestDeps, tx: Tx, actor: Actor, emails: string[]): Promise<void> {
  for (const email of await listVisited(tx, emails)) await endGuestsOf(deps, tx, actor, email);
}

type GuestDeps = Parameters<typeof endSessionsOf>[0];

interface End {
  email: string;
  reason: 'address_confirmed' | 'replaced';
  keep: number;
}

async function endVisits(deps: GuestDeps, tx: Tx, actor: Actor, { email, reason, keep }: End): Promise<void> {
  const ended = await endGuests(tx, email, { keep, now: deps.clock() });
  for (const id of ended) await endSessionsOf(deps, tx, actor, id, reason);
}
