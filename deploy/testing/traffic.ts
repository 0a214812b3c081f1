import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { freshen, type Staff } from './people.ts';
import type { Site } from './site.ts';

export interface Failed {
  what: string;
  status: number | string;
  /** Milliseconds since the traffic began, and how long it took. */
  at: number;
  ms: number;
  body: string;
}

export interface Tally {
  requests: number;
  posts: number;
  /** Connections that were opened: clients keep theirs, so it tells how often they had to change. */
  connections: number;
  failed: Failed[];
  /** Names of the organizations and of the upstream's entries whose creation was acknowledged. */
  organizations: string[];
  entries: string[];
  slowestMs: number;
}

export interface Traffic {
  tally: Tally;
  stop(): Promise<Tally>;
}

const CLIENTS = 32;
const PAUSE_MS = 40;
const TIMEOUT_MS = 30_000;
let runs = 0;

/**
 * 32 clients, each on one connection that it keeps: a quarter founds organizations with a token
 * each, a quarter posts to the
 * upstream with a key, half reads. Nothing is retried, and whatever is no success counts as failed.
 */
export async function startTraffic(site: Site, staff: Staff): Promise<Traffic> {
  await freshen(site, staff);
  runs += 1;
  const run = `${process.pid}-${runs}`;
  const tally: Tally = {
    ...{ requests: 0, posts: 0, connections: 0, slowestMs: 0 },
    ...{ failed: [], organizations: [], entries: [] },
  };
  const began = performance.now();
  const ca = readFileSync(site.ca, 'utf8');
  const { port } = new URL(site.url);
  const token = { authorization: `Bearer ${staff.admin.token}` };
  const key = { 'x-api-key': staff.key };
  let stopped = false;

  function exchange(agent: Agent, method: string, path: string, headers: Record<string, string>, body?: unknown) {
    const content = body === undefined ? undefined : JSON.stringify(body);
    const type = content ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) } : {};
    return new Promise<{ status: number | string; text: string }>((resolve) => {
      const req = request(
        { agent, host: '127.0.0.1', port, servername: 'localhost', method, path, timeout: TIMEOUT_MS },
        (res) => {
          let text = '';
          res.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          res.once('end', () => resolve({ status: res.statusCode ?? 0, text }));
          res.once('error', (error: NodeJS.ErrnoException) => resolve({ status: error.code ?? error.message, text }));
        },
      );
      for (const [name, value] of Object.entries({ host: `localhost:${port}`, ...headers, ...type }))
        req.setHeader(name, value);
      req.once('socket', () => {
        if (!req.reusedSocket) tally.connections += 1;
      });
      req.once('timeout', () => req.destroy(new Error('timed out')));
      req.once('error', (error: NodeJS.ErrnoException) => resolve({ status: error.code ?? error.message, text: '' }));
      req.end(content);
    });
  }

  async function client(number: number): Promise<void> {
    const founder = { authorization: `Bearer ${staff.founders[Math.floor(number / 4)]}` };
    const agent = new Agent({ ca, keepAlive: true, maxSockets: 1 });
    for (let round = 0; !stopped; round++) {
      const name = `ledger-${run}-${number}-${round}`;
      const start = performance.now();
      const kind = number % 4;
      const [what, answer] =
        kind === 0
          ? ['POST organization', await exchange(agent, 'POST', '/api/orgs', founder, { name, slug: name })]
          : kind === 1
            ? ['POST upstream', await exchange(agent, 'POST', '/api/proxy/example/x', key, { ledger: name })]
            : kind === 2
              ? ['GET me', await exchange(agent, 'GET', '/api/auth/me', token)]
              : ['GET upstream', await exchange(agent, 'GET', '/api/proxy/example/x', key)];
      const ms = performance.now() - start;
      tally.requests += 1;
      if (kind < 2) tally.posts += 1;
      tally.slowestMs = Math.max(tally.slowestMs, Math.round(ms));
      const good = typeof answer.status === 'number' && answer.status >= 200 && answer.status < 300;
      if (!good)
        tally.failed.push({
          ...{ what, status: answer.status, at: Math.round(start - began), ms: Math.round(ms) },
          body: answer.text.slice(0, 300),
        });
      else if (kind === 0) tally.organizations.push(name);
      else if (kind === 1) tally.entries.push(name);
      await delay(PAUSE_MS);
    }
    agent.destroy();
  }

  const running = Array.from({ length: CLIENTS }, (_, number) => client(number));
  return {
    tally,
    async stop() {
      stopped = true;
      await Promise.all(running);
      return tally;
    },
  };
}
