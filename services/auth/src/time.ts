import { z } from 'zod';

/** A time as the database gives it, on its way out as RFC 3339 in UTC. */
export const StoredTime = z
  .date()
  .transform((time) => time.toISOString())
  .pipe(z.iso.datetime());
