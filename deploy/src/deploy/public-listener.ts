import { request } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import type { Settings } from '../context.ts';

export interface PublicAnswer {
  /** 0 when there was no answer; the text says why. */
  status: number;
  text: string;
}

const LIMIT_MS = 15_000;
const TIMEOUT_MS = 5_000;

/** Where clients of this host reach nginx. */
export function publicAddress(settings: Settings): { host: string; port: number; name: string } {
  const published = settings['PUBLISH_ADDRESS'] || '0.0.0.0';
  const host = published === '0.0.0.0' ? '127.0.0.1' : published === '::' ? '::1' : published;
  const name = (settings['SERVER_NAME'] ?? '').split(/[\s,]+/).filter(Boolean)[0] ?? 'localhost';
  return { host, port: Number(settings['PUBLISH_HTTPS_PORT'] || 443), name };
}

/** One request on a connection of its own. Whether the certificate is good is not the question here. */
export function askPublic(settings: Settings, path: string): Promise<PublicAnswer> {
  const { host, port, name } = publicAddress(settings);
  const target = { host, port, path, servername: name, headers: { host: name, connection: 'close' } };
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const asking = request({ ...target, agent: false, rejectUnauthorized: false, signal }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      answer.once('error', (error) => resolve({ status: 0, text: error.message }));
      answer.once('end', () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    asking.once('error', (error) => resolve({ status: 0, text: error.message }));
    asking.end();
  });
}

/** Asks until so many were answered 200; who is told to slow down does. Returns what went wrong, if anything did. */
export async function askManyTimes(settings: Settings, path: string, times: number): Promise<string | undefined> {
  const deadline = Date.now() + LIMIT_MS;
  for (let answered = 0; answered < times; ) {
    const { status, text } = await askPublic(settings, path);
    if (status === 200) answered += 1;
    else if (status === 429 && Date.now() < deadline) await delay(300);
    else return `GET ${path}: ${status || text}`;
  }
  return undefined;
}
