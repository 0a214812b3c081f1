import { type Db, many, run, type Tx } from '@gatehouse/kit/db';
import { z } from 'zod';

const PublicJwk = z.object({
  kid: z.string(),
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.string(),
  y: z.string(),
  alg: z.literal('ES256'),
  use: z.literal('sig'),
});
export type PublicJwk = z.infer<typeof PublicJwk>;

const SigningKey = z.object({
  kid: z.string(),
  status: z.enum(['pending', 'active', 'retired']),
  public_jwk: PublicJwk,
  private_sealed: z.instanceof(Buffer).nullable(),
  created_at: z.date(),
  activated_at: z.date().nullable(),
  retired_at: z.date().nullable(),
});
export type SigningKey = z.infer<typeof SigningKey>;

/** Held until the transaction ends: one instance rotates, the others wait and find it done. */
export async function lockRotation(tx: Tx): Promise<void> {
  await run(tx)`select pg_advisory_xact_lock(hashtextextended('auth.signing_keys', 0))`;
}

/** The keys that are published: all but those whose last token has expired. */
export function listKeys(db: Db, retiredAfter: Date): Promise<SigningKey[]> {
  return many(db, SigningKey)`
    select k.kid, k.status, k.public_jwk, k.private_sealed, k.created_at, k.activated_at, k.retired_at
    from auth.signing_keys k
    where k.retired_at is null or k.retired_at > ${retiredAfter}
    order by k.created_at, k.kid`;
}

interface NewKey {
  public_jwk: PublicJwk;
  private_sealed: Buffer;
  status: 'pending' | 'active';
  now: Date;
}

export async function insertKey(tx: Tx, { public_jwk, private_sealed, status, now }: NewKey): Promise<void> {
  await run(tx)`
    insert into auth.signing_keys (kid, status, public_jwk, private_sealed, created_at, activated_at)
    values (${public_jwk.kid}, ${status}, ${JSON.stringify(public_jwk)}::jsonb, ${private_sealed}, ${now},
            ${status === 'active' ? now : null})`;
}

/** A retired key cannot sign again: its private half is gone. */
export async function retireActiveKey(tx: Tx, now: Date): Promise<void> {
  await run(tx)`
    update auth.signing_keys k set status = 'retired', retired_at = ${now}, private_sealed = null
    where k.status = 'active'`;
}

export async function activatePendingKey(tx: Tx, now: Date): Promise<void> {
  await run(tx)`update auth.signing_keys k set status = 'active', activated_at = ${now} where k.status = 'pending'`;
}
