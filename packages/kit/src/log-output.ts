import { Writable } from 'node:stream';

/** What may wait for a reader of our log who does not read; then lines are dropped, and not the process. */
const WAITING_MAX_BYTES = 1024 * 1024;

let dropped = 0;
let listening = false;

/** How many lines were lost since the process began, because nobody took them or no room was left for them. */
export const droppedLines = (): number => dropped;

/** Counts lines that were lost elsewhere, in a file of our own. */
export function countDropped(lines = 1): void {
  dropped += lines;
}

/** Writes lines to stdout. Never throws and never waits: a log that cannot be written keeps nobody from being served. */
export function writeOut(text: string, lines = 1): void {
  const { stdout } = process;
  if (!listening) {
    listening = true;
    // A full disk or a closed pipe would end the process; the lines are counted below.
    stdout.on('error', () => undefined);
  }
  if (stdout.writableLength > WAITING_MAX_BYTES) return countDropped(lines);
  stdout.write(text, (error) => {
    if (error) countDropped(lines);
  });
}

/** stdout for who wants a stream. */
export const output = new Writable({
  decodeStrings: false,
  write(chunk, _encoding, done) {
    writeOut(String(chunk));
    done();
  },
});
