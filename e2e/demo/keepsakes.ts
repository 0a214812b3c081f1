import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';

const Person = z.object({ name: z.string(), email: z.string(), password: z.string(), id: z.string().optional() });
const Kept = z.object({
  organization: z.object({ id: z.string(), name: z.string() }).optional(),
  admin: Person.optional(),
  viewer: Person.optional(),
  key: z.object({ id: z.string(), key: z.string(), prefix: z.string() }).optional(),
});
export type Person = z.infer<typeof Person>;
export type Kept = z.infer<typeof Kept>;

/** What the demo remembers from one run to the next, its passwords among it: a file for its owner's eyes only. */
export interface Keepsakes {
  readonly path: string;
  read(): Kept;
  /** Changes some of it; undefined forgets. Written before the request that needs it, so that no crash loses it. */
  keep(changes: { [K in keyof Kept]?: Kept[K] | undefined }): void;
}

export function openKeepsakes(path: string): Keepsakes {
  let kept: Kept = existsSync(path) ? Kept.parse(JSON.parse(readFileSync(path, 'utf8'))) : {};
  return {
    path,
    read: () => kept,
    keep(changes) {
      kept = { ...kept, ...(changes as Kept) };
      writeFileSync(path, `${JSON.stringify(kept, null, 2)}\n`, { mode: 0o600 });
      // The mode of writeFile counts for new files only.
      chmodSync(path, 0o600);
    },
  };
}
