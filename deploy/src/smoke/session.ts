import { setTimeout as delay } from 'node:timers/promises';
import type { Answer, Call, Http } from '../http.ts';
import { stepAt, totp, untilNextStep } from './totp.ts';

const LIMITED_TRIES = 3;
/** What a deploy can wait for; an account that is locked says minutes. */
const PATIENCE_SECONDS = 30;

/** An answer that was not the one to get, or none at all, in one sentence. */
export class Unexpected extends Error {}

export interface Session {
  accessToken: string;
  refreshToken: string;
}

/** Sends, and throws Unexpected unless the answer has the status that is wanted. */
export async function wanted<T = Record<string, unknown>>(http: Http, status: number, call: Call): Promise<Answer<T>> {
  const answer = await sent<T>(http, call);
  if (answer.status !== status) throw unexpected(call, answer, String(status));
  return answer;
}

/** Sends; throws Unexpected when there is no answer. */
export function sent<T>(http: Http, call: Call): Promise<Answer<T>> {
  return http.send<T>(call).catch((error: Error) => {
    throw new Unexpected(error.message);
  });
}

/** Says what was asked, what came and how to find it in the logs; nothing of what was sent. */
export function unexpected({ method, path }: Call, answer: Answer<unknown>, wish: string): Unexpected {
  const { status, requestId, headers } = answer;
  const { code, detail } = answer.body as { code?: string; detail?: string };
  const said = [status, code, detail && `(${detail})`].filter(Boolean).join(' ');
  const later = headers['retry-after'] ? `, retry after ${headers['retry-after']} s` : '';
  const id = requestId ? `, request id ${requestId}` : '';
  return new Unexpected(`${method} ${path} answered ${said} in place of ${wish}${later}${id}`);
}

interface SignedIn {
  access_token: string;
  refresh_token: string;
  challenge_token?: string;
  methods?: string[];
}

/** Signs in, with a code where a second factor is asked for. */
export async function signIn(
  http: Http,
  { email, password, seed }: { email: string; password: string; seed?: string },
): Promise<Session> {
  const call = { method: 'POST', path: '/api/auth/login', body: { email, password } };
  const answer = await patiently<SignedIn>(http, call);
  const { challenge_token } = answer.body;
  if (challenge_token === undefined) return sessionOf(answer);
  if (seed === undefined || !answer.body.methods?.includes('totp'))
    throw new Unexpected('a second factor is asked for that this account has not');
  return proved(http, challenge_token, seed);
}

/** Sign-ins are few a minute for each address, and a check that meets that limit says nothing about the release. */
async function patiently<T>(http: Http, call: Call): Promise<Answer<T>> {
  for (let attempt = 1; attempt < LIMITED_TRIES; attempt++) {
    const answer = await sent<T>(http, call);
    const seconds = Number(answer.headers['retry-after']);
    if (answer.status === 200) return answer;
    if (answer.status !== 429 || !(seconds <= PATIENCE_SECONDS)) throw unexpected(call, answer, '200');
    await delay(seconds * 1000);
  }
  return wanted<T>(http, 200, call);
}

/** A code is good once, so that a second sign-in within 30 seconds takes the next one, and a third waits for it. */
async function proved(http: Http, challenge_token: string, seed: string): Promise<Session> {
  const verify = (step: number) => {
    const body = { challenge_token, method: 'totp', code: totp(seed, step) };
    return { method: 'POST', path: '/api/auth/challenge/verify', body };
  };
  for (const ahead of [0, 1]) {
    const answer = await sent<SignedIn>(http, verify(stepAt(Date.now()) + ahead));
    if (answer.status === 200) return sessionOf(answer);
  }
  await delay(untilNextStep(Date.now()) + 100);
  return sessionOf(await wanted<SignedIn>(http, 200, verify(stepAt(Date.now()) + 1)));
}

export function sessionOf({ body }: Answer<SignedIn>): Session {
  return { accessToken: body.access_token, refreshToken: body.refresh_token };
}
