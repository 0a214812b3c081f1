import { ApiKeyFact, factKey, MemberFact, OrgFact, SessionFact } from '@gatehouse/contracts/facts';
import type { Facts } from '@gatehouse/kit/facts';
import type { z } from 'zod';
import { createRecent, type Recent } from '../recent.ts';
import type { Owners } from './owners.ts';
import { createFactReader } from './reading.ts';

/** How long an answer counts, from the moment it was asked for: the platform promises one second. */
const REMEMBER_MS = 800;
const REMEMBERED_MAX = 50_000;

interface Remembered {
  /** Null: the owner says that there is none. */
  value: unknown;
  until: number;
  /** As Redis holds it; undefined when the owner said it. */
  text: string | undefined;
}

type Memory = Recent<Remembered>;

interface Source {
  key: string;
  schema: z.ZodType;
  ask: () => Promise<unknown>;
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
  // One memory a kind: a fact is looked up by an id that is there already, without a string made for the question.
  const sessions = createRecent<Remembered>(REMEMBERED_MAX);
  const orgs = createRecent<Remembered>(REMEMBERED_MAX);
  const members = createRecent<Remembered>(REMEMBERED_MAX);
  const apiKeys = createRecent<Remembered>(REMEMBERED_MAX);
  const loading = new Map<string, Promise<void>>();
  const fromRedis = createFactReader(redis, now);

  function peek<T>(memory: Memory, id: string): T | null | undefined {
    const entry = memory.get(id);
    return entry !== undefined && entry.until > now() ? (entry.value as T | null) : undefined;
  }

  function remember(memory: Memory, id: string, value: unknown, askedAt: number, text?: string): void {
    const until = askedAt + REMEMBER_MS;
    const entry = memory.get(id);
    if (entry === undefined) memory.set(id, { value, until, text });
    else {
      entry.value = value;
      entry.until = until;
      entry.text = text;
    }
  }

  /** The value of what Redis holds. The same text is the same value, which is mostly so, and need not be read anew. */
  function valueIn(text: string | undefined, before: Remembered | undefined, schema: z.ZodType): unknown {
    return text !== undefined && text === before?.text ? before.value : parse(text, schema);
  }

  function once(key: string, load: () => Promise<void>): Promise<void> {
    let running = loading.get(key);
    if (!running) {
      running = load().finally(() => loading.delete(key));
      loading.set(key, running);
    }
    return running;
  }

  /** One fact, from Redis by its key there, or else by `ask`. */
  function loadOne(memory: Memory, id: string, { key, schema, ask }: Source): Promise<void> {
    return once(key, async () => {
      const askedAt = now();
      const [text] = await fromRedis([key]);
      const value = valueIn(text, memory.get(id), schema);
      if (value !== undefined) return remember(memory, id, value, askedAt, text);
      const asked = now();
      remember(memory, id, await ask(), asked);
    });
  }

  return {
    session: (sessionId: string) => peek<SessionFact>(sessions, sessionId),
    org: (orgId: string) => peek<OrgFact>(orgs, orgId),
    /** By its key, `factKey.member(…)`: whoever asks keeps it. */
    member: (key: string) => peek<MemberFact>(members, key),
    apiKey: (hash: string) => peek<ApiKeyFact>(apiKeys, hash),

    loadSession: (id: string) =>
      loadOne(sessions, id, { key: factKey.session(id), schema: SessionFact, ask: () => owners.session(id) }),
    loadApiKey: (hash: string, address: string) =>
      loadOne(apiKeys, hash, {
        key: factKey.apiKey(hash),
        schema: ApiKeyFact,
        ask: () => owners.apiKey(hash, address),
      }),

    /** Organization and membership together: the owner answers both at once. */
    loadGuard(orgId: string, userId: string): Promise<void> {
      const orgKey = factKey.org(orgId);
      const memberKey = factKey.member(orgId, userId);
      return once(memberKey, async () => {
        const askedAt = now();
        const [orgText, memberText] = await fromRedis([orgKey, memberKey]);
        const org = valueIn(orgText, orgs.get(orgId), OrgFact);
        const member = valueIn(memberText, members.get(memberKey), MemberFact);
        if (org !== undefined && member !== undefined) {
          remember(orgs, orgId, org, askedAt, orgText);
          remember(members, memberKey, member, askedAt, memberText);
          return;
        }
        const asked = now();
        const guard = await owners.guard(orgId, userId);
        remember(orgs, orgId, guard.org, asked);
        remember(members, memberKey, guard.member, asked);
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
