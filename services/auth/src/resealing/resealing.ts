import { setTimeout as delay } from 'node:timers/promises';
import { reseal, type SealingKeys } from '@gatehouse/kit/crypto';
import type { Db } from '@gatehouse/kit/db';
import { errorFields } from '@gatehouse/kit/log';
import type { Deps } from '../deps.ts';
import { seedAad } from '../factors/totp.ts';
import { signingKeyAad } from '../keys/keys.ts';
import { aadOf as sessionAad } from '../sessions/sessions.ts';
import { SEALED_KINDS, type SealedKind } from './kinds.ts';
import {
  type Change,
  type Page,
  pageOfSeeds,
  pageOfSessions,
  pageOfSigningKeys,
  type Row,
  updateSeeds,
  updateSessions,
  updateSigningKeys,
} from './store.ts';

type ResealDeps = Pick<Deps, 'pool' | 'log' | 'secrets'>;

interface Sealed {
  kind: SealedKind;
  /** Before the first id. */
  first: string;
  keys: SealingKeys;
  aadOf: (row: Row) => string;
  page: (db: Db, page: Page) => Promise<Row[]>;
  update: (db: Db, changes: readonly Change[]) => Promise<number>;
}

const NO_ID = '00000000-0000-0000-0000-000000000000';

/** What is sealed with JWT_SECRET and lasts, in the order of a round. */
function everything({ secrets }: ResealDeps): readonly Sealed[] {
  return [
    {
      kind: 'totp_seed',
      first: NO_ID,
      keys: secrets.factors,
      aadOf: ({ id, owner }) => seedAad(id, owner),
      page: pageOfSeeds,
      update: updateSeeds,
    },
    {
      kind: 'session',
      first: NO_ID,
      keys: secrets.sessions,
      aadOf: ({ id, owner }) => sessionAad(id, owner),
      page: pageOfSessions,
      update: updateSessions,
    },
    // Last, and once nothing else is left: who drops the alternate too early is refused at the start, where the signing
    // keys are opened, and does not lose the seeds of everybody's second factor.
    {
      kind: 'signing_key',
      first: '',
      keys: secrets.signingKeys,
      aadOf: ({ id }) => signingKeyAad(id),
      page: pageOfSigningKeys,
      update: updateSigningKeys,
    },
  ];
}

/** Of one kind in one round. */
interface Tally {
  /** Sealed with the alternate when it was looked at. */
  found: number;
  resealed: number;
  /** Opens with neither secret: its row was altered. */
  unreadable: number;
}

export type Round = Partial<Record<SealedKind, Tally>>;

interface Options {
  batch?: number;
  pauseMs?: number;
  signal?: AbortSignal;
}

const BATCH = 200;
const PAUSE_MS = 20;

/**
 * Looks at everything that is sealed and lasts, and seals anew what was not sealed with the first secret. A batch at a
 * time, by key, in a statement of its own each: it may be cut off anywhere, and several instances may do it at once. A
 * row that changed since it was read keeps its change, and is looked at again in the next round.
 */
export async function resealRound(deps: ResealDeps, { batch = BATCH, pauseMs = PAUSE_MS, signal }: Options = {}) {
  const round: Round = {};
  for (const sealed of everything(deps)) {
    const othersLeft = Object.values(round).some(({ found }) => found > 0);
    if (sealed.kind === 'signing_key' && othersLeft) break;
    round[sealed.kind] = await resealKind(deps, sealed, { batch, pauseMs, signal });
  }
  return round;
}

async function resealKind(
  deps: ResealDeps,
  { kind, first, keys, aadOf, page, update }: Sealed,
  { batch, pauseMs, signal }: { batch: number; pauseMs: number; signal: AbortSignal | undefined },
): Promise<Tally> {
  const tally: Tally = { found: 0, resealed: 0, unreadable: 0 };
  for (let after = first; ; ) {
    const rows = await page(deps.pool, { after, limit: batch });
    const changes: Change[] = [];
    for (const row of rows)
      try {
        const sealed = reseal(keys, row.sealed, aadOf(row));
        if (sealed) changes.push({ id: row.id, old: row.sealed, sealed });
      } catch {
        tally.unreadable += 1;
      }
    tally.found += changes.length;
    if (changes.length > 0) tally.resealed += await update(deps.pool, changes);
    const last = rows.at(-1);
    if (!last || rows.length < batch) break;
    after = last.id;
    await delay(pauseMs, undefined, { signal });
  }
  if (tally.unreadable > 0)
    deps.log.error('rows open with neither JWT_SECRET nor JWT_SECRET_ALTERNATE', {
      name: kind,
      count: tally.unreadable,
    });
  return tally;
}

/** Whether a round found nothing that the alternate is still needed for. */
export function nothingLeft(round: Round): boolean {
  return SEALED_KINDS.every((kind) => round[kind]?.found === 0);
}

interface WorkOptions extends Options {
  againMs?: number;
  checkMs?: number;
}

const AGAIN_MS = 1_000;
const CHECK_MS = 60_000;

/**
 * While there is an alternate, seals anew what needs it, until stopped: other instances may still seal with it, or have
 * it as their first. Tells in the log when nothing is left.
 */
export function startResealing(
  deps: ResealDeps & Pick<Deps, 'metrics'>,
  options: WorkOptions = {},
): { stop: () => Promise<void> } {
  const { againMs = AGAIN_MS, checkMs = CHECK_MS, ...rest } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  let done = false;
  // Not known before a round has looked.
  for (const kind of SEALED_KINDS) deps.metrics.sealedWithAlternate.set({ kind }, Number.NaN);

  async function turn(): Promise<number> {
    try {
      const round = await resealRound(deps, { ...rest, signal });
      for (const [kind, { found }] of Object.entries(round)) deps.metrics.sealedWithAlternate.set({ kind }, found);
      for (const [name, { resealed }] of Object.entries(round))
        if (resealed > 0) deps.log.info('sealed anew with JWT_SECRET', { name, count: resealed });
      const before = done;
      done = nothingLeft(round);
      if (done && !before) deps.log.info(NOTHING_LEFT);
      return done ? checkMs : againMs;
    } catch (error) {
      if (!signal.aborted) deps.log.error('what JWT_SECRET seals could not be looked at', errorFields(error));
      return checkMs;
    }
  }

  async function loop(): Promise<void> {
    while (!signal.aborted) {
      const pauseMs = await turn();
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  const ended = loop();
  return {
    stop() {
      stopping.abort();
      return ended;
    },
  };
}

/** What an operator waits for before the alternate goes. */
export const NOTHING_LEFT = 'nothing is sealed with JWT_SECRET_ALTERNATE any more';
