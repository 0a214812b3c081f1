import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { systemActor } from '@gatehouse/kit/actor';
import type { Clock } from '@gatehouse/kit/clock';
import { ConfigError } from '@gatehouse/kit/config';
import { open, type SealingKeys, seal } from '@gatehouse/kit/crypto';
import { type Pool, type Tx, transaction } from '@gatehouse/kit/db';
import { publicJwk } from '@gatehouse/kit/identity';
import { publish } from '@gatehouse/kit/outbox';
import {
  activatePendingKey,
  insertKey,
  listKeys,
  lockRotation,
  type PublicJwk,
  retireActiveKey,
  type SigningKey,
} from './store.ts';

// Twice as long as anyone may remember our key set: whoever verifies has seen a key before it signs.
const PUBLISHED_BEFORE_SIGNING_MS = 10 * 60_000;
// Beyond the life of a token: clocks differ, and another instance signs with the old key until it looks again.
const RETIRED_LEEWAY_MS = 5 * 60_000;
const DAY_MS = 86_400_000;

/** What the key that seals private halves is derived for. */
export const KEK_PURPOSE = 'signing keys';

export interface Keyring {
  /** The key that signs now. */
  signer(): { kid: string; key: KeyObject };
  /** Every key that a valid token may be signed with, and the next one. */
  jwks(): Promise<{ keys: PublicJwk[] }>;
  /** Rotates when the active key is old enough, or at once, and takes over what other instances rotated. */
  maintain(options?: { force?: boolean }): Promise<void>;
  ageSeconds(): number;
}

interface KeyringOptions {
  pool: Pool;
  clock: Clock;
  /** What the private halves are sealed with. */
  kek: SealingKeys;
  rotationDays: number;
  accessTokenTtlSeconds: number;
}

/**
 * The access-token keys: one pending (published, next), one active (signs), and retired ones until their last token
 * has expired. Throws a ConfigError when JWT_SECRET is not the one that the stored keys were sealed with.
 */
export async function openKeyring(options: KeyringOptions): Promise<Keyring> {
  const { pool, clock, kek, rotationDays, accessTokenTtlSeconds } = options;
  let active: { kid: string; key: KeyObject; since: Date };

  const published = () =>
    listKeys(pool, new Date(clock().getTime() - accessTokenTtlSeconds * 1000 - RETIRED_LEEWAY_MS));

  async function maintain({ force = false } = {}): Promise<void> {
    let keys = await published();
    const now = clock();
    if (force || isDue(keys, now, rotationDays)) {
      await transaction(pool, (tx) => rotate(tx, { kek, now, rotationDays, force }));
      keys = await published();
    }
    const signing = keys.find((key) => key.status === 'active');
    if (!signing?.activated_at) throw new Error('there is no active signing key');
    if (signing.kid !== active?.kid)
      active = { kid: signing.kid, key: unsealed(signing, kek), since: signing.activated_at };
  }

  await maintain();
  // The next one too: it must not show to be unreadable on the day that it is to sign.
  for (const key of await published()) if (key.status === 'pending') unsealed(key, kek);
  return {
    signer: () => active,
    jwks: async () => ({ keys: (await published()).map((key) => key.public_jwk) }),
    maintain,
    ageSeconds: () => (clock().getTime() - active.since.getTime()) / 1000,
  };
}

export type Rotated = { outcome: 'rotated'; active: string } | { outcome: 'too_soon'; waitSeconds: number };

/**
 * Rotates now, as an operator wants it: the instances sign with the next key when they look again, within a minute.
 * Unless forced not before everybody who verifies has seen that key. Throws a ConfigError as `openKeyring` does.
 */
export function rotateNow(
  { pool, clock, kek }: Pick<KeyringOptions, 'pool' | 'clock' | 'kek'>,
  { force }: { force: boolean },
): Promise<Rotated> {
  return transaction(pool, async (tx) => {
    await lockRotation(tx);
    const now = clock();
    const pending = (await listKeys(tx, now)).find((key) => key.status === 'pending');
    const waitMs = pending ? PUBLISHED_BEFORE_SIGNING_MS - (now.getTime() - pending.created_at.getTime()) : 0;
    if (waitMs > 0 && !force) return { outcome: 'too_soon', waitSeconds: Math.ceil(waitMs / 1000) };
    await rotate(tx, { kek, now, rotationDays: 0, force: true });
    const active = (await listKeys(tx, now)).find((key) => key.status === 'active');
    return { outcome: 'rotated', active: active?.kid ?? '' };
  });
}

function isDue(keys: SigningKey[], now: Date, rotationDays: number): boolean {
  const active = keys.find((key) => key.status === 'active');
  const pending = keys.find((key) => key.status === 'pending');
  if (!active?.activated_at || !pending) return true;
  const waited = now.getTime() - pending.created_at.getTime() >= PUBLISHED_BEFORE_SIGNING_MS;
  return waited && now.getTime() - active.activated_at.getTime() >= rotationDays * DAY_MS;
}

interface Rotation {
  kek: SealingKeys;
  now: Date;
  rotationDays: number;
  force: boolean;
}

async function rotate(tx: Tx, { kek, now, rotationDays, force }: Rotation): Promise<void> {
  await lockRotation(tx);
  const keys = await listKeys(tx, now);
  // Looked at again under the lock: of two instances that found it due, the second finds it done.
  if (!force && !isDue(keys, now, rotationDays)) return;
  const old = keys.find((key) => key.status === 'active');
  const pending = keys.find((key) => key.status === 'pending');
  // Opened before anything changes: a wrong JWT_SECRET must never make keys beside those that it cannot open.
  for (const key of [old, pending]) if (key) unsealed(key, kek);
  if (old && pending) await retireActiveKey(tx, now);
  if (pending) await activatePendingKey(tx, now);
  const first = pending?.kid ?? old?.kid ?? (await addKey(tx, kek, 'active', now));
  const next = await addKey(tx, kek, 'pending', now);
  const retired = old && pending ? { retired: old.kid } : {};
  await publish(tx, systemActor('auth'), 'auth.key_rotated.v1', { active: first, pending: next, ...retired });
}

async function addKey(tx: Tx, kek: SealingKeys, status: 'pending' | 'active', now: Date): Promise<string> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = publicJwk(privateKey) as PublicJwk;
  const der = privateKey.export({ format: 'der', type: 'pkcs8' });
  await insertKey(tx, { public_jwk: jwk, private_sealed: seal(kek, der, signingKeyAad(jwk.kid)), status, now });
  return jwk.kid;
}

function unsealed({ kid, private_sealed }: SigningKey, kek: SealingKeys): KeyObject {
  try {
    if (!private_sealed) throw new Error('the key has no private half');
    return createPrivateKey({ key: open(kek, private_sealed, signingKeyAad(kid)), format: 'der', type: 'pkcs8' });
  } catch (error) {
    throw Object.assign(new ConfigError(['JWT_SECRET: does not open the signing keys in the database']), {
      cause: error,
    });
  }
}

export const signingKeyAad = (kid: string) => `auth.signing_keys.private_sealed:${kid}:auth`;
