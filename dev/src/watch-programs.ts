import { join } from 'node:path';
import { type Crash, lastLines } from './processes.ts';

const INTERVAL_MS = 500;

/** Tells when a program that is not one of our Node processes has ended; returns how to stop watching. */
export function watchPrograms(
  pids: Record<string, number>,
  logDir: string,
  onCrash: (crash: Crash) => void,
): () => Promise<void> {
  const timer = setInterval(() => {
    for (const [name, pid] of Object.entries(pids)) {
      if (isRunning(pid)) continue;
      clearInterval(timer);
      const log = join(logDir, name === 'nginx' ? 'nginx-error.log' : `${name}.log`);
      onCrash({ name, reason: 'ended', lastLines: lastLines(log, 10) });
    }
  }, INTERVAL_MS);
  timer.unref();
  return async () => clearInterval(timer);
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
