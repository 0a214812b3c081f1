import { errorFields, type Logger } from './log.ts';

/** In this order: first nothing new comes in, then what runs finishes, then what it needed is closed. */
const PHASES = ['readiness', 'listeners', 'work', 'connections', 'reports'] as const;
export type Phase = (typeof PHASES)[number];

export interface Lifecycle {
  readonly stopping: boolean;
  /** Registers what to do in a phase; those of one phase run together, each within `timeoutMs`. */
  onStop(phase: Phase, name: string, stop: () => unknown, timeoutMs?: number): void;
  /** Stops once; later calls get the same promise. True when everything ended in time. */
  stop(reason: string): Promise<boolean>;
}

interface LifecycleOptions {
  log: Logger;
  /** Milliseconds between "not ready" and closing the listeners, so that the proxy in front notices. */
  graceMs: number;
}

const DEFAULT_TIMEOUT_MS = 5_000;

/** Ordered shutdown: not ready, wait for the proxy, close listeners, finish work, close connections. */
export function createLifecycle({ log, graceMs }: LifecycleOptions): Lifecycle {
  const steps: { phase: Phase; name: string; stop: () => unknown; timeoutMs: number }[] = [];
  let stopped: Promise<boolean> | undefined;

  async function stopAll(reason: string): Promise<boolean> {
    log.info('stopping', { reason });
    let clean = true;
    for (const phase of PHASES) {
      const ends = steps
        .filter((step) => step.phase === phase)
        .map(async ({ name, stop, timeoutMs }) => {
          try {
            await within(Promise.resolve(stop()), timeoutMs);
          } catch (error) {
            clean = false;
            log.error('a part did not stop in time', { name, phase, ...errorFields(error) });
          }
        });
      await Promise.all(ends);
      if (phase === 'readiness' && graceMs > 0) await new Promise((resolve) => setTimeout(resolve, graceMs));
    }
    log.info('stopped', { outcome: clean ? 'clean' : 'forced' });
    return clean;
  }

  return {
    get stopping() {
      return stopped !== undefined;
    },
    onStop(phase, name, stop, timeoutMs = DEFAULT_TIMEOUT_MS) {
      steps.push({ phase, name, stop, timeoutMs });
    },
    stop(reason) {
      stopped ??= stopAll(reason);
      return stopped;
    },
  };
}

/** The promise, or a rejection after `ms` milliseconds. */
export function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
