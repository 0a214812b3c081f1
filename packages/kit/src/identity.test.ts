import { generateKeyPairSync } from 'node:crypto';
import type { IdentityClaims } from '@gatehouse/contracts/identity';
import { expect, test } from '@jest/globals';
import jwt from 'jsonwebtoken';
import { CLOCK_LEEWAY_SECONDS } from './clock-check.ts';
import { createSigner, createVerifier } from './identity.ts';

function keyPair() {
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}
const { privateKey, publicKey } = keyPair();
const other = keyPair();
const signer = createSigner(privateKey);
const verify = createVerifier(publicKey, 'org');
const claims: IdentityClaims = {
  kind: 'user',
  sub: '0190f2a7-c1d2-7cc0-a3f1-b2c3d4e5f607',
  sid: '0190f2a7-c1d2-7cc0-a3f1-b2c3d4e5f608',
  role: 'user',
};
const forge = (options: jwt.SignOptions, key: string | Buffer = privateKey) =>
  jwt.sign(claims, key, {
    algorithm: 'ES256',
    keyid: signer.jwk.kid,
    header: { alg: 'ES256', typ: 'identity+jwt' },
    audience: 'org',
    issuer: 'gatehouse',
    expiresIn: 60,
    ...options,
  });
/** With times of its own, where `forge` takes the present. */
const forgeAt = (times: { iat: number; exp: number }) =>
  jwt.sign({ ...claims, ...times }, privateKey, {
    algorithm: 'ES256',
    keyid: signer.jwk.kid,
    header: { alg: 'ES256', typ: 'identity+jwt' },
    audience: 'org',
    issuer: 'gatehouse',
  });

test('an identity is accepted by the audience it was minted for, again and again', () => {
  const token = signer.sign(claims, 'org');

  expect(verify(token)).toMatchObject(claims);
  expect(verify(token)).toMatchObject({ aud: 'org' });
});

test('while the key rolls, identities of both keys are accepted', () => {
  const both = createVerifier(publicKey + other.publicKey, 'org');

  expect(both(signer.sign(claims, 'org')).sub).toBe(claims.sub);
  expect(both(createSigner(other.privateKey).sign(claims, 'org')).sub).toBe(claims.sub);
});

test('a remembered identity ends when it expires', () => {
  const token = forge({ expiresIn: -3 });
  expect(verify(token).sub).toBe(claims.sub);

  const now = Date.now;
  Date.now = () => now() + 10_000;
  try {
    expect(() => verify(token)).toThrow();
  } finally {
    Date.now = now;
  }
});

test.each([
  ['S096 none', undefined],
  ['S096 nonsense', 'a.b.c'],
  ['S096 another audience', signer.sign(claims, 'auth')],
  ['S026 a list of audiences that holds ours', forge({ audience: ['org', 'auth'] })],
  ['S026 an expired one', forge({ expiresIn: -30 })],
  ['S026 another issuer', forge({ issuer: 'elsewhere' })],
  ['S027 a token of another type', forge({ header: { alg: 'ES256', typ: 'at+jwt' } })],
  ['S024 one signed by another key under our key id', forge({}, other.privateKey)],
  ['S024 one keyed with the public key as an HMAC secret', hs256()],
  ['S024 an unsigned one', unsigned()],
  ['S025 one that names an unknown key', forge({ keyid: '../../etc/passwd' })],
])('%s is refused', (_what, token) => {
  expect(() => verify(token)).toThrow(expect.objectContaining({ code: 'auth.required' }));
});

function unsigned(): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + 60;
  return `${part({ alg: 'none', typ: 'identity+jwt', kid: signer.jwk.kid })}.${part({ ...claims, aud: 'org', iss: 'gatehouse', exp })}.`;
}

function hs256(): string {
  return jwt.sign(claims, Buffer.from(publicKey), {
    algorithm: 'HS256',
    keyid: signer.jwk.kid,
    header: { alg: 'HS256', typ: 'identity+jwt' },
    audience: 'org',
    issuer: 'gatehouse',
    expiresIn: 60,
  });
}

test('F36 an identity counts as long beyond its time as two clocks may differ, and never a minute', () => {
  const now = Math.floor(Date.now() / 1000);
  const expired = (secondsAgo: number) => forgeAt({ iat: now - secondsAgo - 60, exp: now - secondsAgo });
  expect(verify(expired(CLOCK_LEEWAY_SECONDS - 2)).sub).toBe(claims.sub);
  expect(() => verify(expired(CLOCK_LEEWAY_SECONDS + 1))).toThrow('No valid identity');
  expect(() => verify(expired(60))).toThrow('No valid identity');
  // The gateway's clock may be ahead of ours.
  expect(verify(forgeAt({ iat: now + CLOCK_LEEWAY_SECONDS, exp: now + 60 + CLOCK_LEEWAY_SECONDS })).sub).toBe(
    claims.sub,
  );
  expect(CLOCK_LEEWAY_SECONDS).toBeLessThanOrEqual(60);
});
