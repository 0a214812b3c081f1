import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { messageOf } from './processes.ts';

const LOUD = new Set(['WARN', 'ERROR']);
const MAX_READ = 1024 * 1024;

/** Calls `onWarning` for each warning and error that is appended to the logs from now on; returns how to end it. */
export function watchLogs(files: Record<string, string>, onWarning: (line: string) => void): () => void {
  const offsets = new Map(Object.entries(files).map(([name, file]) => [name, sizeOf(file)]));
  const timer = setInterval(() => {
    for (const [name, file] of Object.entries(files)) {
      const from = offsets.get(name) ?? 0;
      const size = sizeOf(file);
      offsets.set(name, size);
      // A smaller file is a new one after rotation.
      if (size > from) for (const line of read(file, from, size).split('\n')) report(name, line, onWarning);
    }
  }, 400);
  timer.unref();
  return () => clearInterval(timer);
}

function report(name: string, line: string, onWarning: (line: string) => void): void {
  if (!line.startsWith('{')) return;
  try {
    const entry = JSON.parse(line) as Record<string, unknown>;
    if (!LOUD.has(String(entry['severity_text']))) return;
    const request = entry['request_id'] ? `  (request ${entry['request_id']})` : '';
    onWarning(`${name.padEnd(9)} ${String(entry['severity_text']).toLowerCase()}: ${messageOf(line)}${request}`);
  } catch {
    // The rest of a line that is still being written.
  }
}

function read(file: string, from: number, to: number): string {
  const buffer = Buffer.alloc(Math.min(to - from, MAX_READ));
  const descriptor = openSync(file, 'r');
  try {
    readSync(descriptor, buffer, 0, buffer.length, to - buffer.length);
  } finally {
    closeSync(descriptor);
  }
  return buffer.toString('utf8');
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
