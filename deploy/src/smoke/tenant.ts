import { createHmac } from 'node:crypto';
import type { Context } from '../context.ts';
import { EXIT, Failure } from '../failure.ts';
import { readOne } from '../secrets/vault.ts';

export interface Person {
  id: string;
  email: string;
  name: string;
  password: string;
  /** Of an authenticator app, in base32. */
  seed: string;
}

export interface Tenant {
  orgId: string;
  name: string;
  owner: Person;
  /** Stands for a viewer where none can be registered. */
  viewer: Person;
}

/** Reserved by RFC 6761: no mail can ever go there, and none is tried. */
const DOMAIN = 'synthetic.invalid';
const NAME = 'Synthetic tenant (deploy checks)';
// UUIDs of version 8 (RFC 9562, section 5.8): the same everywhere, so that the tenant is found whatever it is called.
const ORGANIZATION = 'd0c5e1f0-0000-8000-8000-5f0000000001';
const OWNER = 'd0c5e1f0-0000-8000-8000-5f0000000002';
const VIEWER = 'd0c5e1f0-0000-8000-8000-5f0000000003';

/**
 * The tenant that deploys are checked with, as its one secret makes it. Addresses come from the secret too: nobody else
 * knows them, so that nobody can lock an account by wrong passwords, or take an address beforehand.
 */
export function tenantOf(secret: string): Tenant {
  const derived = (what: string) => createHmac('sha256', secret).update(`synthetic tenant: ${what}`).digest();
  const person = (id: string, what: string, password: string): Person => ({
    id,
    email: addressOf(what, derived(`${what} address`).toString('hex').slice(0, 16)),
    name: `Synthetic ${what} (deploy checks)`,
    password,
    seed: base32(derived(`${what} authenticator`).subarray(0, 20)),
  });
  return {
    orgId: ORGANIZATION,
    name: NAME,
    owner: person(OWNER, 'owner', secret),
    viewer: person(VIEWER, 'viewer', derived('viewer password').toString('base64url')),
  };
}

/** An address of the tenant; accounts with such an address are removed when they are older than a check. */
export const addressOf = (what: string, suffix: string) => `synthetic-${what}-${suffix}@${DOMAIN}`;

/** The tenant of an environment. Throws where its secret has not been made. */
export function readTenant({ places }: Pick<Context, 'places'>): Tenant {
  try {
    return tenantOf(readOne(places.secrets, 'app/SYNTHETIC_PASSWORD').toString().trim());
  } catch (error) {
    throw new Failure(
      EXIT.secrets,
      `The password of the synthetic tenant cannot be read: ${(error as Error).message}`,
      ['make secrets makes it. Who is not root reads it through the engine: `docker info` must work for this user.'],
    );
  }
}

/** RFC 4648, section 6, without padding: what authenticator apps take. */
export function base32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const groups = bits.match(/.{1,5}/g) ?? [];
  return groups.map((group) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(group.padEnd(5, '0'), 2)]).join('');
}
