import type { Colour } from '../places.ts';
import type { Journal, Live, Release } from '../state.ts';

/** What is to be true after a run that was killed has been cleared up. */
export interface Recovery {
  /** What serves from now on; null when nothing has been installed. */
  keep: Release | null;
  /** A colour of which nothing may run, and whether its containers go too: those of a proven release only stop. */
  drop: { colour: Colour; remove: boolean } | null;
  /**
   * nginx is pointed at what is kept. After a switch always, whatever its file says: the run may have been killed
   * between writing it and the reload.
   */
  switchBack: boolean;
  /** The release that was killed when nothing could go wrong with it any more. */
  adopt: boolean;
}

export interface Found {
  live: Live | null;
  journal: Journal | null;
  /** The colour that nginx names. */
  named: Colour | null;
}

/** Decides by what was written before each change; the same again when it is killed itself. */
export function decideRecovery({ live, journal, named }: Found): Recovery {
  const known: Release | null = journal ? journal.from : live && { revision: live.revision, colour: live.colour };
  if (!journal) return { ...nothing, keep: known, drop: known && { colour: otherOf(known.colour), remove: false } };
  const next: Release = { revision: journal.revision, colour: journal.colour };
  const proven = journal.command === 'rollback';
  const adopt = journal.stage === 'finishing' || (proven && journal.stage === 'switched' && named === next.colour);
  if (adopt) {
    const drop = journal.from && { colour: journal.from.colour, remove: false };
    return { keep: next, drop, switchBack: journal.stage === 'switched' || named !== next.colour, adopt };
  }
  if (journal.stage === 'preparing') return { ...nothing, keep: known };
  const drop = { colour: next.colour, remove: !proven };
  return { keep: known, drop, switchBack: known !== null && journal.stage === 'switched', adopt: false };
}

const nothing = { keep: null, drop: null, switchBack: false, adopt: false };

export function otherOf(colour: Colour): Colour {
  return colour === 'blue' ? 'green' : 'blue';
}
