import type { IncomingHttpHeaders } from 'node:http';
import { MAIL_SECRET } from '@gatehouse/contracts/jobs';
import type { Actor, UserActor } from '@gatehouse/kit/actor';
import { randomToken, seal, sha256 } from '@gatehouse/kit/crypto';
import { type Db, type Tx, transaction } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import { newId } from '@gatehouse/kit/ids';
import { enqueue, publish } from '@gatehouse/kit/outbox';
import { lockUser, type User } from '../accounts/accounts.ts';
import { issueToken } from '../action-tokens/action-tokens.ts';
import { networkOf } from '../addresses.ts';
import { readCookie, writeCookie } from '../cookies.ts';
import type { Deps } from '../deps.ts';
import { endSessionsOfDevice } from '../sessions/sessions.ts';
import { deviceName } from './agents.ts';
import {
  clearTrust,
  type Device,
  deleteOldestDevices,
  findDeviceId,
  findDevicesByTokens,
  findMemory,
  insertDevice,
  listDevices as listStored,
  updateRevoked,
  updateSighting,
  updateTrust,
} from './store.ts';

/** What a request shows of the device that it comes from. */
export interface Client {
  /** Secrets of the bound cookie: one for each account that was used in this browser. */
  device_tokens: readonly string[];
  /** The refresh token in a session's cookie that a session in a cookie will take the place of. */
  replaces: string | undefined;
}

export interface RecognizedDevice {
  id: string;
  /** Whether the user has signed in from it before; without its cookie that is a guess, good for no right. */
  known: boolean;
  /** Whether it stands for the second factor. */
  trusted: boolean;
  /** `Set-Cookie` values for the answer. */
  cookies: string[];
}

const DAY_MS = 86_400_000;
const TRUST_MS = 30 * DAY_MS;
const SIMILAR_MS = 90 * DAY_MS;
/** As long as browsers keep a cookie (RFC 6265bis, section 5.5), and as long as the cleanup keeps a device. */
const MEMORY_MS = 400 * DAY_MS;
const DEVICES_MAX = 50;
const NOT_ME_LIFE_MS = 7 * DAY_MS;
const ACCOUNTS_PER_BROWSER = 5;
const TOKEN = /^[A-Za-z0-9_-]{43}$/;

export function readClient(headers: IncomingHttpHeaders, { cookie } = { cookie: false }): Client {
  const tokens = (readCookie(headers, 'device') ?? '').split('.').filter((token) => TOKEN.test(token));
  const replaces = cookie ? readCookie(headers, 'refresh') || undefined : undefined;
  return { device_tokens: tokens.slice(0, ACCOUNTS_PER_BROWSER), replaces };
}

/**
 * The user's device by its bound cookie, and whether it is trusted; undefined without one. Changes nothing: for who has
 * only begun to sign in.
 */
export async function findDevice({ clock }: Pick<Deps, 'clock'>, db: Db, userId: string, client: Client) {
  const own = (await devicesOf(db, client)).find(({ user_id }) => user_id === userId);
  return own && { id: own.id, trusted: isTrusted(own, clock()) };
}

/**
 * The device of an account by its bound cookie alone, before anybody has signed in. It says that somebody did so here
 * once, not that they are here again.
 */
export async function knownDeviceOf(
  _deps: unknown,
  db: Db,
  email: string,
  { device_tokens }: Client,
): Promise<string | undefined> {
  return device_tokens.length === 0 ? undefined : findDeviceId(db, email, device_tokens.map(sha256));
}

/**
 * Finds the user's device, or notes a new one, in the caller's transaction, which holds the user's row. Only for who
 * has proved everything that is asked for: from now on the device is known.
 */
export async function recognizeDevice(
  deps: Deps,
  tx: Tx,
  actor: Actor,
  user: User,
  client: Client,
): Promise<RecognizedDevice> {
  const now = deps.clock();
  const sighting = { name: deviceName(actor.agent), address: actor.address, network: networkOf(actor.address), now };
  const live = await devicesOf(tx, client);
  const own = live.find(({ user_id }) => user_id === user.id);
  // Of a sign-in and the end of its device at one instant the row lets one go first: this finds no device any more, or
  // that ends the session too.
  if (own && (await updateSighting(tx, own.id, sighting)))
    return { id: own.id, known: true, trusted: isTrusted(own, now), cookies: [deviceCookie(tokensOf(client, live))] };

  const memory = await findMemory(tx, user.id, {
    ...sighting,
    since: new Date(now.getTime() - SIMILAR_MS),
    // An older account may have signed in before the cleanup.
    forgottenSince: new Date(now.getTime() - MEMORY_MS),
  });
  const id = newId();
  const secret = randomToken();
  await insertDevice(tx, { id, user_id: user.id, token_hash: sha256(secret), ...sighting });
  await deleteOldestDevices(tx, user.id, DEVICES_MAX);
  const target = { type: 'device', id };
  await publish(tx, actor, 'auth.device_added.v1', { user_id: user.id, device_id: id }, { target });
  const known = memory.similar && sighting.network !== 'unknown';
  // The address of a guest is somebody's who may know nothing of it.
  const mailed = memory.signed_in_before && !known && user.registered_email === null;
  if (mailed) await mailNewDevice(deps, tx, user, { id, ...sighting });
  return { id, known, trusted: false, cookies: [deviceCookie([secret, ...tokensOf(client, live)])] };
}

/** Lets a device stand for the second factor for 30 days. */
export async function trustDevice({ clock }: Pick<Deps, 'clock'>, tx: Tx, deviceId: string, owner: Actor) {
  const { user_id } = owner;
  if (user_id === undefined) throw new Error('nobody owns the device');
  const trusted_until = new Date(clock().getTime() + TRUST_MS);
  if (!(await updateTrust(tx, deviceId, user_id, trusted_until))) throw new Error('the user has no such device');
  const target = { type: 'device', id: deviceId };
  await publish(tx, owner, 'auth.device_trusted.v1', { user_id, device_id: deviceId }, { target });
  return { trusted_until };
}

/** From now on every device of the user asks for the second factor again. */
export async function dropTrustOf(tx: Tx, userId: string): Promise<void> {
  await clearTrust(tx, userId);
}

/** Ends what a device may do; false when the user has no such one. */
export async function revokeDeviceOf(deps: Deps, tx: Tx, actor: Actor, userId: string, deviceId: string) {
  if (!(await updateRevoked(tx, deviceId, userId, deps.clock()))) return false;
  const target = { type: 'device', id: deviceId };
  await publish(tx, actor, 'auth.device_revoked.v1', { user_id: userId, device_id: deviceId }, { target });
  await endSessionsOfDevice(deps, tx, actor, userId, deviceId);
  return true;
}

export function revokeDevice(deps: Deps, actor: UserActor, deviceId: string): Promise<void> {
  return transaction(deps.pool, async (tx) => {
    // A sign-in from the device at this instant has opened its session, which ends too, or finds the device gone.
    await lockUser(tx, actor.user_id);
    if (!(await revokeDeviceOf(deps, tx, actor, actor.user_id, deviceId)))
      throw new AppError('auth.device_not_found', 'You have no such device.');
  });
}

export async function listDevices({ pool, clock }: Pick<Deps, 'pool' | 'clock'>, actor: UserActor) {
  return { data: await listStored(pool, actor.user_id, actor.session_id, clock()) };
}

async function devicesOf(db: Db, { device_tokens }: Client): Promise<Device[]> {
  return device_tokens.length === 0 ? [] : findDevicesByTokens(db, device_tokens.map(sha256));
}

/** The secrets that stand for a device; what a client made up or what was revoked does not come back to it. */
function tokensOf({ device_tokens }: Client, devices: readonly Device[]): string[] {
  return device_tokens.filter((token) => {
    const hash = sha256(token);
    return devices.some(({ token_hash }) => token_hash.equals(hash));
  });
}

function deviceCookie(tokens: readonly string[]): string {
  return writeCookie('device', tokens.slice(0, ACCOUNTS_PER_BROWSER).join('.'), MEMORY_MS / 1000);
}

function isTrusted({ trusted_until }: Device, now: Date): boolean {
  return trusted_until !== null && trusted_until > now;
}

/** Owed in the transaction of the sign-in: no session without the news of it. */
async function mailNewDevice(
  deps: Deps,
  tx: Tx,
  user: User,
  device: { id: string; name: string; address: string; now: Date },
): Promise<void> {
  const { token, expires_at } = await issueToken(deps, tx, {
    purpose: 'not_me',
    user_id: user.id,
    email: user.email,
    lifeMs: NOT_ME_LIFE_MS,
    data: { device_id: device.id },
  });
  const params = { name: user.name, device: device.name, address: device.address, at: device.now.toISOString() };
  await enqueue(
    tx,
    'mail.send',
    { template: 'new-device', to: user.email, params, expires_at: expires_at.toISOString() },
    { secret: seal(deps.secrets.mail, token, MAIL_SECRET.aad) },
  );
}
