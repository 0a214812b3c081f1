import { z } from 'zod';
import { sha256 } from './crypto.ts';
import { AppError } from './errors.ts';

/** Query of every list: `limit` (1 to 100, default 50) and the opaque `cursor` of the page before. */
export const Page = z.strictObject({
  limit: z
    .string()
    .regex(/^[1-9][0-9]{0,2}$/, 'must be a number from 1 to 100')
    .transform(Number)
    .pipe(z.number().max(100))
    .default(50),
  cursor: z.string().max(1024).optional(),
});
export type Page = z.output<typeof Page>;

/** Answer of every list: a page of rows and the cursor of the next one, null on the last. */
export const pageOf = <T extends z.ZodType>(row: T) =>
  z.object({ data: z.array(row), next_cursor: z.string().nullable() });

export interface PageOf<T> {
  data: T[];
  next_cursor: string | null;
}

/**
 * A position in a list. `scope` names list, organization and filters: a cursor of another scope, or one with a bit
 * changed, is refused. It is a checksum and not a signature: a forged position shows nothing the caller may not read.
 */
export function encodeCursor(scope: string, position: readonly unknown[]): string {
  const body = JSON.stringify(position);
  return Buffer.from(`${checksum(scope, body)}${body}`).toString('base64url');
}

/** The position that a cursor holds, undefined for the first page; throws `request.invalid` on a bad one. */
export function decodeCursor<T extends z.ZodType>(
  scope: string,
  position: T,
  cursor: string | undefined,
): z.output<T> | undefined {
  if (cursor === undefined) return undefined;
  try {
    const text = Buffer.from(cursor, 'base64url').toString();
    const body = text.slice(8);
    if (encodeCursor(scope, JSON.parse(body)) !== cursor) throw new Error('checksum');
    return position.parse(JSON.parse(body));
  } catch (error) {
    throw new AppError('request.invalid', 'The cursor is not one of this list.', {
      cause: error,
      details: [{ pointer: '/query/cursor', message: 'is not a cursor of this list' }],
    });
  }
}

/** Cuts a result fetched with `limit + 1` rows to a page. */
export function toPage<T>(
  rows: T[],
  limit: number,
  scope: string,
  position: (row: T) => readonly unknown[],
): PageOf<T> {
  const data = rows.slice(0, limit);
  const last = data.at(-1);
  return { data, next_cursor: rows.length > limit && last ? encodeCursor(scope, position(last)) : null };
}

function checksum(scope: string, body: string): string {
  return sha256(`${scope}\n${body}`).toString('hex').slice(0, 8);
}
