import { type Argon2Algorithm, argon2, randomBytes, timingSafeEqual } from 'node:crypto';

const PHC =
  /^\$(argon2id|argon2i|argon2d)\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;
// The floor of the OWASP password storage sheet: 19 MiB, two passes, one lane.
const COST = { memory: 19_456, passes: 2, parallelism: 1 };
const PREFIX = `$argon2id$v=19$m=${COST.memory},t=${COST.passes},p=${COST.parallelism}$`;
const MAX_MEMORY_KIB = 1_048_576;
// KiB times passes: a gibibyte four times over is seconds; what the format could ask for is hours.
const MAX_WORK_KIB = 4 * MAX_MEMORY_KIB;

interface Argon2Input {
  algorithm: Argon2Algorithm;
  message: string;
  nonce: Buffer;
  tagLength: number;
  memory: number;
  passes: number;
  parallelism: number;
}

/** Hashes with argon2id (RFC 9106) to a PHC string, on libuv's threads. */
export async function hashArgon2(message: string): Promise<string> {
  const nonce = randomBytes(16);
  const tag = await run({ algorithm: 'argon2id', message, nonce, tagLength: 32, ...COST });
  return `${PREFIX}${unpadded(nonce)}$${unpadded(tag)}`;
}

/** Verifies a PHC string of any argon2 kind and cost; false when it is not one. */
export async function verifyArgon2(phc: string, message: string): Promise<boolean> {
  const [, algorithm, memory, passes, parallelism, salt, tag] = PHC.exec(phc) ?? [];
  if (!algorithm || !salt || !tag || !isArgon2InBounds(Number(memory), Number(passes))) return false;
  const expected = Buffer.from(tag, 'base64');
  const actual = await run({
    algorithm: algorithm as Argon2Algorithm,
    message,
    nonce: Buffer.from(salt, 'base64'),
    tagLength: expected.length,
    memory: Number(memory),
    passes: Number(passes),
    parallelism: Number(parallelism),
  });
  return timingSafeEqual(actual, expected);
}

/** Whether a cost is one that we compute, whoever asks. */
export function isArgon2InBounds(memoryKib: number, passes: number): boolean {
  return memoryKib <= MAX_MEMORY_KIB && memoryKib * passes <= MAX_WORK_KIB;
}

/** Whether a PHC string has today's kind and cost. */
export function isCurrentArgon2(phc: string): boolean {
  return phc.startsWith(PREFIX);
}

function run({ algorithm, ...parameters }: Argon2Input): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    argon2(algorithm, parameters, (error, tag) => (error ? reject(error) : resolve(tag)));
  });
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '');
}
