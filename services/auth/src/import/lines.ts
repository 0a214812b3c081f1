import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

const MAX_LINE_BYTES = 16 * 1024;

/** A line of a file: its number from 1, and its bytes, undefined when it is longer than any that we take. */
export interface Line {
  number: number;
  bytes: Buffer | undefined;
}

/** The SHA-256 of a file's bytes. */
export async function hashOf(path: string): Promise<Buffer> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest();
}

/**
 * Reads the lines of a file, however large it or a line of it may be, and returns the SHA-256 of what was read. The last
 * line needs no end; a byte order mark at the beginning is none of its bytes.
 */
export async function* readLines(path: string): AsyncGenerator<Line, Buffer> {
  const hash = createHash('sha256');
  let number = 0;
  let pending: Buffer[] = [];
  let size = 0;
  const take = (): Line => {
    number++;
    let bytes = size > MAX_LINE_BYTES ? undefined : Buffer.concat(pending);
    if (number === 1 && bytes?.subarray(0, 3).equals(Buffer.of(0xef, 0xbb, 0xbf))) bytes = bytes.subarray(3);
    pending = [];
    size = 0;
    return { number, bytes };
  };
  const add = (piece: Buffer) => {
    size += piece.length;
    if (size <= MAX_LINE_BYTES) pending.push(piece);
  };
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      add(chunk.subarray(start, end));
      yield take();
      start = end + 1;
    }
    add(chunk.subarray(start));
  }
  if (size > 0) yield take();
  return hash.digest();
}
