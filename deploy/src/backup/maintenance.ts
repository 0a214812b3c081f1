import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Places } from '../places.ts';

const flagOf = (places: Places) => join(places.nginx, 'flags', 'maintenance');

/** Closes the platform to everyone while the work lasts: nginx answers 503. Closed before, it stays so. */
export async function closedFor<T>(places: Places, work: () => Promise<T>): Promise<T> {
  const path = flagOf(places);
  if (existsSync(path)) return work();
  mkdirSync(join(places.nginx, 'flags'), { recursive: true });
  writeFileSync(path, '');
  // Only after success: what failed half-way stays closed until a person has looked.
  const result = await work();
  rmSync(path, { force: true });
  return result;
}
