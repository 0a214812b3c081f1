import { createPublicKey, type KeyObject } from 'node:crypto';
import type { Clock } from '@gatehouse/kit/clock';
import { AppError } from '@gatehouse/kit/errors';
import { z } from 'zod';

const FRESH_MS = 3_600_000;
const COOL_DOWN_MS = 30_000;
const TIMEOUT_MS = 3_000;
const BODY_MAX_BYTES = 65_536;

const Published = z.object({
  public_keys: z.array(z.object({ key_identifier: z.string().min(1).max(128), key: z.string().max(2_048) })).max(100),
});

export interface ScanningKeys {
  /** The partner's key of that id, undefined when there is none. Throws when the keys could never be fetched. */
  find(id: string): Promise<KeyObject | undefined>;
}

interface Options {
  /** Undefined: nobody may report anything. */
  url: string | undefined;
  clock: Clock;
}

/**
 * The public keys with which a partner for secret scanning signs its reports. Fetched when the first report comes,
 * again after an hour, and once per 30 seconds at most because a report names a key that is not there.
 */
export function createScanningKeys({ url, clock }: Options): ScanningKeys | undefined {
  if (url === undefined) return undefined;
  let keys = new Map<string, KeyObject>();
  let fetchedAt = 0;
  let triedAt = 0;
  let fetching: Promise<void> | undefined;

  async function load(address: string): Promise<void> {
    triedAt = clock().getTime();
    keys = await fetchKeys(address);
    fetchedAt = clock().getTime();
  }

  /** Everybody who waits shares one question; one that fails leaves what is known. */
  function refresh(address: string): Promise<void> {
    fetching ??= load(address)
      .catch(() => undefined)
      .finally(() => {
        fetching = undefined;
      });
    return fetching;
  }

  return {
    async find(id) {
      const now = clock().getTime();
      const wanted = !keys.has(id) || now - fetchedAt > FRESH_MS;
      if (fetching || (wanted && now - triedAt >= COOL_DOWN_MS)) await refresh(url);
      if (fetchedAt === 0) throw new AppError('dependency_unavailable', 'The keys of reports cannot be fetched.');
      return keys.get(id);
    },
  };
}

async function fetchKeys(url: string): Promise<Map<string, KeyObject>> {
  const answer = await fetch(url, {
    headers: { accept: 'application/json', 'user-agent': 'gatehouse' },
    // What another address says is not what was configured.
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (answer.status !== 200) throw new Error(`the keys of reports were answered with ${answer.status}`);
  const { public_keys } = Published.parse(JSON.parse(await readText(answer)));
  const found = public_keys.map(({ key_identifier, key }) => [key_identifier, p256Key(key)] as const);
  return new Map(found.filter((entry): entry is [string, KeyObject] => entry[1] !== undefined));
}

async function readText({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > BODY_MAX_BYTES) throw new Error('the keys of reports are too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** One key of another kind does not spoil the others. */
function p256Key(pem: string): KeyObject | undefined {
  try {
    const key = createPublicKey(pem);
    return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? key : undefined;
  } catch {
    return undefined;
  }
}
