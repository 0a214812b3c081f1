import { setTimeout as delay } from 'node:timers/promises';
import { generateSync } from 'otplib';

const STEP_SECONDS = 30;
// A code of the step before still counts; with so few seconds left it might be too late when it arrives.
const MARGIN_SECONDS = 4;

/** An authenticator app (RFC 6238). */
export interface Authenticator {
  /** A code that was not given before: each step's counts once. Waits where all that count now are used up. */
  next(onWait: (seconds: number) => void): Promise<string>;
}

export function openAuthenticator(secret: string): Authenticator {
  let used = 0;
  return {
    async next(onWait) {
      const now = Date.now() / 1000;
      const current = Math.floor(now / STEP_SECONDS);
      const left = (current + 1) * STEP_SECONDS - now;
      const step = Math.max(used + 1, left > MARGIN_SECONDS ? current - 1 : current);
      // The step after the current one counts already.
      const waitSeconds = Math.ceil((step - 1) * STEP_SECONDS - now + 0.5);
      if (waitSeconds > 0) {
        onWait(waitSeconds);
        await delay(waitSeconds * 1000);
      }
      used = step;
      return generateSync({ secret, epoch: step * STEP_SECONDS });
    },
  };
}
