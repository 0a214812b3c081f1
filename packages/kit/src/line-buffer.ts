let lines = '';
let listening = false;

function flush(): void {
  const text = lines;
  lines = '';
  // Synchronous for files and pipes, so that nothing is lost when the process leaves right after.
  if (text) process.stdout.write(text);
}

/**
 * Writes a line to stdout together with the others of this turn of the event loop: under load one system call serves
 * dozens of requests. What waits when the process ends is written then.
 */
export function writeLine(line: string): void {
  if (!listening) {
    listening = true;
    process.on('exit', flush);
  }
  if (!lines) setImmediate(flush);
  lines += `${line}\n`;
}
