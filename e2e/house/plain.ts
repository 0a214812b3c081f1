import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:http';

export interface PlainAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

interface Options {
  method?: string;
  headers?: Record<string, string>;
  body?: unknown;
}

/** One request over plain HTTP on a connection of its own: to nginx's redirect, or to a process behind nginx. */
export function plain(url: string, { method = 'GET', headers = {}, body }: Options = {}): Promise<PlainAnswer> {
  const content = body === undefined ? undefined : JSON.stringify(body);
  const typed = content === undefined ? {} : { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const req = request(url, { method, agent: false, headers: { ...typed, ...headers } }, (res) => {
      let text = '';
      res.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      res.once('error', reject);
      res.once('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, text }));
    });
    req.once('error', reject).end(content);
  });
}
