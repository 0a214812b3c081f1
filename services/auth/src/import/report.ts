import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { rename } from 'node:fs/promises';
import type { Pool } from '@gatehouse/kit/db';
import { listRefusals } from './store.ts';

const PAGE = 1000;

/**
 * Writes every line that was refused, over all runs, to a file of its own. The database is what knows them: the file is
 * made anew at the end of each run and put in place as a whole.
 */
export async function writeRefused(pool: Pool, fileHash: Buffer, path: string): Promise<void> {
  const beside = `${path}.tmp`;
  const out = createWriteStream(beside, { mode: 0o600 });
  let after = 0;
  for (;;) {
    const page = await listRefusals(pool, fileHash, after, PAGE);
    for (const refusal of page) if (!out.write(`${JSON.stringify(refusal)}\n`)) await once(out, 'drain');
    if (page.length < PAGE) break;
    after = page.at(-1)?.line ?? after;
  }
  out.end();
  await once(out, 'close');
  await rename(beside, path);
}
