import type { Actor } from '@gatehouse/kit/actor';
import type { Tx } from '@gatehouse/kit/db';
import { AppError } from '@gatehouse/kit/errors';
import type { Deps } from '../deps.ts';
import { type Client, recognizeDevice, trustDevice } from '../devices/devices.ts';
import { amrOf } from '../factors/amr.ts';
import { confirmFactor, firstMethods } from '../factors/enrolment.ts';
import { listFactors } from '../factors/factors.ts';
import type { FactorMethod } from '../factors/methods.ts';
import { countVerdict, proveFactor, type Verdict } from '../factors/proof.ts';
import { openSession } from '../sign-in/open-session.ts';
import { endChallenge, type Held, provable, withChallenge } from './challenges.ts';
import { updateGuesses } from './store.ts';

const GUESSES = 5;

interface Answer {
  challenge_token: string;
  method: FactorMethod;
  code: string;
  trust_device: boolean;
  client: Client;
}

/** Ends a sign-in with the second factor that it waits for. A challenge makes one session, or takes five wrong codes. */
export async function verifyChallenge(deps: Deps, actor: Actor, answer: Answer) {
  const outcome = await withChallenge(deps, actor, answer.challenge_token, async (tx, held) => {
    const { verdict, recovery_codes } = await judge(deps, tx, held, answer);
    if (!verdict.right) {
      await countWrong(tx, held, verdict);
      return { verdict };
    }
    return {
      verdict,
      enrols: held.challenge.kind === 'enrol',
      signIn: await signIn(deps, tx, held, answer, recovery_codes),
    };
  });
  const { method } = answer;
  countVerdict(deps, method, outcome.verdict);
  if (!outcome.verdict.right) throw outcome.verdict.refusal;
  if (!outcome.signIn) throw new AppError('internal');
  deps.metrics.logins.inc({ method: 'password', outcome: 'success', reason: 'ok' });
  if (outcome.enrols) deps.metrics.mfaEnrolments.inc({ method, change: 'added' });
  return outcome.signIn;
}

async function judge(
  deps: Deps,
  tx: Tx,
  { challenge, user, factors, owner }: Held,
  { method, code }: Answer,
): Promise<{ verdict: Verdict; recovery_codes: string[] }> {
  const at = { challenge_id: challenge.id };
  if (challenge.kind === 'enrol') {
    if (method === 'recovery' || !firstMethods(user).includes(method)) throw notSetUp();
    return confirmFactor(deps, tx, owner, user, { method, code, at });
  }
  if (!provable(user, factors).includes(method)) throw notSetUp();
  const verdict = await proveFactor(deps, tx, owner, user, { method, code, purpose: 'sign_in', at });
  return { verdict, recovery_codes: [] };
}

const notSetUp = () => new AppError('auth.factor_not_found', 'This second factor is not set up.');

async function countWrong(tx: Tx, { challenge }: Held, verdict: Verdict): Promise<void> {
  // A code that was not judged was no guess.
  if (verdict.right || verdict.reason === 'throttled') return;
  const guesses = challenge.guesses + 1;
  if (guesses < GUESSES) await updateGuesses(tx, challenge.id, guesses);
  else await endChallenge(tx, challenge);
}

async function signIn(
  deps: Deps,
  tx: Tx,
  held: Held,
  { method, client, trust_device }: Answer,
  recovery_codes: string[],
) {
  const { challenge, user, owner } = held;
  await endChallenge(tx, challenge);
  const amr = amrOf(user, challenge.amr, method, await listFactors(tx, user.id));
  const device = await recognizeDevice(deps, tx, owner, user, client);
  if (trust_device && amr.includes('mfa')) await trustDevice(deps, tx, device.id, owner);
  const body = await openSession(deps, tx, owner, user, { amr, device_id: device.id, client, second_factor: method });
  return {
    body: recovery_codes.length > 0 ? { ...body, recovery_codes } : body,
    cookies: device.cookies,
  };
}
