import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';

/**
 * A sealed file: whoever has the public half of the recovery key can make one, only the private half opens it.
 *
 *   offset  bytes
 *        0      8  "GHSEAL1\n"
 *        8     32  public half of the recovery key (X25519, RFC 7748 section 5)
 *       40     32  public half of a key made for this file alone
 *       72     12  nonce
 *       84      n  ciphertext of AES-256-GCM (RFC 5116 section 5.2), the 84 bytes before it as additional data
 *   84 + n     16  tag
 *
 * The key is HKDF-SHA-256 (RFC 5869) of the X25519 secret (RFC 7748 section 6.1); salt: both public halves, the file's
 * first; info: "gatehouse sealed secrets 1".
 */
const MAGIC = Buffer.from('GHSEAL1\n');
const INFO = 'gatehouse sealed secrets 1';
const KEY = 32;
const NONCE = 12;
const TAG = 16;
const HEADER = MAGIC.length + 2 * KEY + NONCE;

/** Both halves in base64url, 43 characters each. */
export interface RecoveryKey {
  publicKey: string;
  privateKey: string;
}

export function makeRecoveryKey(): RecoveryKey {
  const { x, d } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
  return { publicKey: x ?? '', privateKey: d ?? '' };
}

/** Encrypts to the public half of a recovery key. */
export function seal(plaintext: Buffer, recoveryPublicKey: string): Buffer {
  const ephemeral = generateKeyPairSync('x25519');
  const recipient = publicKeyOf(recoveryPublicKey);
  const publics = Buffer.concat([raw(ephemeral.publicKey), raw(recipient)]);
  const header = Buffer.concat([MAGIC, raw(recipient), raw(ephemeral.publicKey), randomBytes(NONCE)]);
  const key = derive(ephemeral.privateKey, recipient, publics);
  const cipher = createCipheriv('aes-256-gcm', key, header.subarray(-NONCE), { authTagLength: TAG });
  cipher.setAAD(header);
  return Buffer.concat([header, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** Opens a sealed file; throws an Error that says what is wrong with the file or the key, and repeats neither. */
export function unseal(sealed: Buffer, recoveryPrivateKey: string): Buffer {
  if (sealed.length < HEADER + TAG || !sealed.subarray(0, MAGIC.length).equals(MAGIC))
    throw new Error('is not a sealed copy of secrets');
  const [recipient, sender] = [sealed.subarray(MAGIC.length, MAGIC.length + KEY), sealed.subarray(40, 40 + KEY)];
  const own = privateKeyOf(recoveryPrivateKey);
  if (!raw(createPublicKey(own)).equals(recipient)) throw new Error('is sealed to another recovery key');
  try {
    const header = sealed.subarray(0, HEADER);
    const key = derive(own, publicKeyOf(sender.toString('base64url')), Buffer.concat([sender, recipient]));
    const decipher = createDecipheriv('aes-256-gcm', key, header.subarray(-NONCE), { authTagLength: TAG });
    decipher.setAAD(header).setAuthTag(sealed.subarray(-TAG));
    return Buffer.concat([decipher.update(sealed.subarray(HEADER, -TAG)), decipher.final()]);
  } catch {
    throw new Error('is damaged, or was changed');
  }
}

export function isRecoveryKey(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text);
}

function derive(own: KeyObject, other: KeyObject, salt: Buffer): Buffer {
  const secret = diffieHellman({ privateKey: own, publicKey: other });
  return Buffer.from(hkdfSync('sha256', secret, salt, INFO, KEY));
}

function publicKeyOf(x: string): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
}

// PKCS#8 of an X25519 key (RFC 8410 section 7): the public half, which a JWK asks for, is computed.
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');

function privateKeyOf(d: string): KeyObject {
  if (!isRecoveryKey(d)) throw new Error('cannot be opened: a recovery key is 43 characters of base64url');
  const key = Buffer.concat([PKCS8, Buffer.from(d, 'base64url')]);
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}

function raw(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url');
}
