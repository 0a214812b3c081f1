import type { IncomingHttpHeaders } from 'node:http';
import type { Actor } from '@gatehouse/kit/actor';
import type { Tx } from '@gatehouse/kit/db';
import type { User } from '../accounts/accounts.ts';
import type { Deps } from '../deps.ts';

/** What a request shows of the device that it comes from. */
export interface Client {
  /** The bound cookie, where the client has one. */
  device_token: string | undefined;
}

export interface RecognizedDevice {
  id: string | null;
  /** Whether the user has signed in from it before. */
  known: boolean;
  /** Whether it stands for the second factor. */
  trusted: boolean;
  /** `Set-Cookie` values for the answer. */
  cookies: string[];
}

export function readClient(_headers: IncomingHttpHeaders): Client {
  return { device_token: undefined };
}

/** Finds the user's device, or notes a new one; in the caller's transaction, which holds the user's row. */
export async function recognizeDevice(
  _deps: Deps,
  _tx: Tx,
  _actor: Actor,
  _user: User,
  _client: Client,
): Promise<RecognizedDevice> {
  return { id: null, known: true, trusted: false, cookies: [] };
}
