import { writeOut } from './log-output.ts';

// A write costs as much as serving a tenth of a request: under load hundreds of lines share one.
const FLUSH_MS = 10;

let lines = '';
let count = 0;
let listening = false;

function flush(): void {
  const text = lines;
  const written = count;
  lines = '';
  count = 0;
  // Synchronous for files and pipes that are read, so that nothing is lost when the process leaves right after.
  if (text) writeOut(text, written);
}

/**
 * Writes a line to stdout, together with the others of the next hundredth of a second. What waits when the process ends
 * is written then; only a process that is killed loses it.
 */
export function writeLine(line: string): void {
  if (!listening) {
    listening = true;
    process.on('exit', flush);
  }
  if (!lines) setTimeout(flush, FLUSH_MS).unref();
  lines += `${line}\n`;
  count += 1;
}
