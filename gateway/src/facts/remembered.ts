import { ApiKeyFact, factKey, MemberFact, OrgFact, SessionFact } from '@gatehouse/contracts/facts';
import type { Facts } from '@gatehouse/kit/facts';
import type { z } from 'zod';
import { createRecent } from '../recent.ts';
import type { Owners } from './owners.ts';

/** How long an answer counts, from the moment it was asked for: the platform promises one second. */
const REMEMBER_MS = 800;
const REMEMBERED_MAX = 50_000;
/** After Redis failed, it is not waited for again for so long; the owners are asked at once. */
const REDIS_PAUSE_MS = 1_000;

interface Remembered {
  /** Null: the owner says that there is none. */
  value: unknown;
  until: number;
}

interface Options {
  redis: Pick<Facts, 'read'>;
  owners: Owners;
  /** Milliseconds that only go forward. */
  now?: () => number;
}

/**
 * What the gateway asks before every request, remembered for less than a second: from Redis, where the owner of a
 * fact deletes it on change, else from the owner itself. `peek` answers `undefined` when an answer must be loaded
 * first; everyone who waits for one key shares one question. A load that neither answers rejects: the caller refuses.
 */
export function createRememberedFacts({ redis, owners, now = () => performance.now() }: Options) {
  const remembered = createRecent<Remembered>(REMEMBERED_MAX);
  const loading = new Map<string, Promise<void>>();
  let redisPausedUntil = 0;

  function peek<T>(key: string): T | null | undefined {
    const entry = remembered.get(key);
    return entry !== undefined && entry.until > now() ? (entry.value as T | null) : undefined;
  }

  function remember(key: string, value: unknown, askedAt: number): void {
    const until = askedAt + REMEMBER_MS;
    const entry = remembered.get(key);
    if (entry === undefined) remembered.set(key, { value, until });
    else Object.assign(entry, { value, until });
  }

  async function fromRedis(keys: string[]): Promise<(string | undefined)[]> {
    if (now() < redisPausedUntil) return keys.map(() => undefined);
    try {
      return await redis.read(keys);
    } catch {
      redisPausedUntil = now() + REDIS_PAUSE_MS;
      return keys.map(() => undefined);
    }
  }

  function once(key: string, load: () => Promise<void>): Promise<void> {
    let running = loading.get(key);
    if (!running) {
      running = load().finally(() => loading.delete(key));
      loading.set(key, running);
    }
    return running;
  }

  /** One fact with one schema, from Redis or else by `ask`. */
  function loadOne(key: string, schema: z.ZodType, ask: () => Promise<unknown>): Promise<void> {
    return once(key, async () => {
      const askedAt = now();
      const [text] = await fromRedis([key]);
      const value = parse(text, schema);
      if (value !== undefined) return remember(key, value, askedAt);
      const asked = now();
      remember(key, await ask(), asked);
    });
  }

  return {
    session: (sessionId: string) => peek<SessionFact>(factKey.session(sessionId)),
    org: (orgId: string) => peek<OrgFact>(factKey.org(orgId)),
    member: (orgId: string, userId: string) => peek<MemberFact>(factKey.member(orgId, userId)),
    apiKey: (hash: string) => peek<ApiKeyFact>(factKey.apiKey(hash)),

    loadSession: (sessionId: string) =>
      loadOne(factKey.session(sessionId), SessionFact, () => owners.session(sessionId)),
    loadApiKey: (hash: string) => loadOne(factKey.apiKey(hash), ApiKeyFact, () => owners.apiKey(hash)),

    /** Organization and membership together: the owner answers both at once. */
    loadGuard(orgId: string, userId: string): Promise<void> {
      const orgKey = factKey.org(orgId);
      const memberKey = factKey.member(orgId, userId);
      return once(memberKey, async () => {
        const askedAt = now();
        const [orgText, memberText] = await fromRedis([orgKey, memberKey]);
        const org = parse(orgText, OrgFact);
        const member = parse(memberText, MemberFact);
        if (org !== undefined && member !== undefined) {
          remember(orgKey, org, askedAt);
          remember(memberKey, member, askedAt);
          return;
        }
        const asked = now();
        const guard = await owners.guard(orgId, userId);
        remember(orgKey, guard.org, asked);
        remember(memberKey, guard.member, asked);
      });
    },
  };
}

export type RememberedFacts = ReturnType<typeof createRememberedFacts>;

/** What Redis holds may be of another version or another's: what does not parse is as good as absent. */
function parse(text: string | undefined, schema: z.ZodType): unknown {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return value === null ? null : schema.safeParse(value).data;
  } catch {
    return undefined;
  }
}
