import { v7 } from 'uuid';
import { z } from 'zod';

/** An id as a client gives it in a body or a query, in its one spelling; dispatch does the same for those in a path. */
export const Id = z.uuid().toLowerCase();

/** A new UUIDv7 (RFC 9562, section 5.7): ids sort by the time they were made, so indexes grow at one end. */
export function newId(): string {
  return v7();
}
