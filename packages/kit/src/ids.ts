import { v7 } from 'uuid';

/** A new UUIDv7 (RFC 9562, section 5.7): ids sort by the time they were made, so indexes grow at one end. */
export function newId(): string {
  return v7();
}
