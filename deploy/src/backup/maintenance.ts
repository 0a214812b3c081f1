import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Places } from '../places.ts';

const flagOf = (places: Places) => join(places.nginx, 'flags', 'maintenance');

// Tells a flag of ours, which a restore that was killed has left, from one that a person has set.
const OURS = 'restore';

/** Closes the platform to everyone while the work lasts: nginx answers 503. Closed by a person before, it stays so. */
export async function closedFor<T>(places: Places, work: () => Promise<T>): Promise<T> {
  const path = flagOf(places);
  if (existsSync(path) && readFileSync(path, 'utf8') !== OURS) return work();
  mkdirSync(join(places.nginx, 'flags'), { recursive: true });
  writeFileSync(path, OURS, { mode: 0o644 });
  // Only after success: what failed half-way stays closed until a person has looked, or until it is done again.
  const result = await work();
  rmSync(path, { force: true });
  return result;
}
