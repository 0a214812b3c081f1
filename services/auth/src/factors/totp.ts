import { open, reseal, seal } from '@gatehouse/kit/crypto';
import type { Tx } from '@gatehouse/kit/db';
import { errorFields } from '@gatehouse/kit/log';
import type { Deps } from '../deps.ts';
import { lockSeed, type Seed, updateSealed, updateStep } from './store.ts';

type SeedDeps = Pick<Deps, 'secrets' | 'log' | 'clock'>;
export interface SealingDeps {
  secrets: Pick<Deps['secrets'], 'factors'>;
}

/** What the key that seeds are sealed with is derived for. */
export const SEED_PURPOSE = 'second factor seeds';
const STEP_SECONDS = 30;
const SEED_BYTES = 20;

// Loaded with the first factor: the two bring nine MiB with them.
const loadOtplib = () => import('otplib');
const loadQr = () => import('qr');

/** What an authenticator app is set up with. */
export async function newSeed({ config }: Pick<Deps, 'config'>, email: string) {
  const [{ generateSecret, generateURI }, { default: encodeQR }] = await Promise.all([loadOtplib(), loadQr()]);
  const secret = generateSecret({ length: SEED_BYTES });
  const issuer = `Gatehouse ${new URL(config.PUBLIC_URL).hostname}`;
  const otpauth_uri = generateURI({ issuer, label: email, secret });
  return { secret, otpauth_uri, qr_svg: encodeQR(otpauth_uri, 'svg', { ecc: 'medium', border: 4 }) };
}

export function sealSeed({ secrets }: SealingDeps, secret: string, id: string, userId: string): Buffer {
  return seal(secrets.factors, secret, seedAad(id, userId));
}

/**
 * The time step of a code (RFC 6238: SHA-1, six digits, 30 s, one step to either side), or undefined when it is wrong or
 * not later than the last one that was taken.
 */
export async function judgeTotp(deps: SeedDeps, seed: Seed, userId: string, code: string): Promise<number | undefined> {
  if (!/^\d{6}$/.test(code)) return undefined;
  const secret = openSeed(deps, seed, userId);
  if (secret === undefined) return undefined;
  const { verifySync } = await loadOtplib();
  const epoch = Math.floor(deps.clock().getTime() / 1000);
  const verified = verifySync({ secret, token: code, epoch, period: STEP_SECONDS, epochTolerance: STEP_SECONDS });
  if (!verified.valid || !('timeStep' in verified)) return undefined;
  return verified.timeStep > (seed.last_step ?? -1) ? verified.timeStep : undefined;
}

/** Judges a code of a user's app and uses it up when it is right. */
export async function takeTotp(deps: SeedDeps, tx: Tx, userId: string, code: string): Promise<boolean> {
  const seed = await lockSeed(tx, userId);
  const step = seed && (await judgeTotp(deps, seed, userId, code));
  if (!seed || step === undefined) return false;
  await updateStep(tx, seed.id, step);
  const resealed = reseal(deps.secrets.factors, seed.secret_sealed, seedAad(seed.id, userId));
  if (resealed) await updateSealed(tx, seed.id, resealed);
  return true;
}

/** Undefined, and an error in the log, for a row that was moved or altered. */
function openSeed({ secrets, log }: SeedDeps, { id, secret_sealed }: Seed, userId: string): string | undefined {
  try {
    return open(secrets.factors, secret_sealed, seedAad(id, userId)).toString();
  } catch (error) {
    log.error('the seed of a second factor does not open: its row was altered, or JWT_SECRET was', errorFields(error));
    return undefined;
  }
}

export const seedAad = (id: string, userId: string) => `auth.factors.secret_sealed:${id}:${userId}`;
