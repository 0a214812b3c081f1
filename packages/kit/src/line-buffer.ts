// A write costs as much as serving a tenth of a request: under load hundreds of lines share one.
const FLUSH_MS = 10;

let lines = '';
let listening = false;

function flush(): void {
  const text = lines;
  lines = '';
  // Synchronous for files and pipes, so that nothing is lost when the process leaves right after.
  if (text) process.stdout.write(text);
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
}
