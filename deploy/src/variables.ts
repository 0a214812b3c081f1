import type { Variables } from './context.ts';
import { EXIT, Failure } from './failure.ts';

/** Reads what make passes on; throws a Failure with code 2 for a value that cannot be meant. */
export function readVariables(env: NodeJS.ProcessEnv): Variables {
  const text = (name: string) => (env[name] ?? '').trim();
  return {
    to: text('TO'),
    from: text('FROM'),
    at: text('AT'),
    service: text('S'),
    confirm: text('CONFIRM'),
    plan: flag('PLAN', text('PLAN')),
    force: text('FORCE') === '0' ? '' : text('FORCE'),
    lockWaitSeconds: seconds('LOCK_WAIT', text('LOCK_WAIT') || '900'),
    dryRun: flag('DRY_RUN', text('DRY_RUN')),
    revision: text('REVISION') || 'HEAD',
    contract: flag('CONTRACT', text('CONTRACT')),
    recreate: text('RECREATE'),
  };
}

function flag(name: string, value: string): boolean {
  if (value === '' || value === '0') return false;
  if (value === '1') return true;
  throw new Failure(EXIT.usage, `${name} is ${value}; it is 1 or not given`);
}

function seconds(name: string, value: string): number {
  if (/^\d{1,6}$/.test(value)) return Number(value);
  throw new Failure(EXIT.usage, `${name} is ${value}; it is a number of seconds`);
}
