import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Context } from '../context.ts';
import { placesOf } from '../places.ts';
import type { HistoryLine, Journal } from '../state.ts';
import { announce, announceStart } from './announce.ts';

let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'gatehouse-announce-'));
  mkdirSync(join(state, 'secrets/operator'), { recursive: true });
});
afterEach(() => rmSync(state, { recursive: true }));

test.each([
  ['hooks.chat.test/T0/very-secret', 'its address is no URL'],
  ['http://127.0.0.1:1/very-secret', 'fetch failed'],
])('what is wrong with a webhook (%s) is told without its address', async (address, complaint) => {
  writeFileSync(join(state, 'secrets/operator/DEPLOY_WEBHOOK_URL'), `${address}\n`);
  const warnings: string[] = [];
  const context = {
    places: placesOf(state),
    settings: {},
    compose: { containers: async () => [] },
    report: { warn: (text: string) => warnings.push(text) },
  } as unknown as Context;
  await announce(context, { result: 'failed' } as HistoryLine);
  expect(warnings).toEqual([`The webhook was not called: ${complaint}`]);
});

interface Told {
  path: string | undefined;
  authorization: string | undefined;
  body: unknown;
}

/** Answers 201 to everything, and remembers it. */
async function listening(told: Told[], host = '127.0.0.1', port = 0): Promise<Server> {
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const { url, headers } = request;
    told.push({ path: url, authorization: headers.authorization, body: JSON.parse(text) });
    response.writeHead(201).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  return server;
}

const LINE = { id: '1', command: 'deploy', environment: 'staging', to: 'b'.repeat(12), result: 'succeeded' };
const TIMES = { started_at: '2026-11-21T00:00:00Z', ended_at: '2026-11-21T00:01:00Z' };

test('a webhook hears of start and end, Sentry of the release and its deploy, Grafana of an annotation', async () => {
  const told: Told[] = [];
  const warnings: string[] = [];
  // A container's address; what stands at it listens at Grafana's own port.
  const [web, grafanas] = [await listening(told), await listening(told, '127.91.0.1', 3000)];
  try {
    const base = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
    const secret = (path: string, value: string) => writeFileSync(join(state, 'secrets', path), value);
    mkdirSync(join(state, 'secrets/grafana'));
    secret('grafana/GRAFANA_ADMIN_PASSWORD', 'open');
    secret('operator/SENTRY_AUTH_TOKEN', 'token\n');
    secret('operator/DEPLOY_WEBHOOK_URL', `${base}/hook\n`);
    writeFileSync(join(state, 'package.json'), '{ "version": "1.2.3" }');
    const grafana = { state: 'running', addresses: { obs: '127.91.0.1' } };
    const context = {
      ...{ places: placesOf(state), environment: 'staging' },
      settings: { SENTRY_ORGANIZATION: 'acme', SENTRY_PROJECT: 'gatehouse', SENTRY_URL: `${base}/` },
      compose: { containers: async () => [grafana], options: { source: state } },
      report: { warn: (text: string) => warnings.push(text) },
    } as unknown as Context;
    const journal = { ...LINE, ...TIMES, revision: LINE.to, colour: 'green', from: null } as unknown as Journal;

    await announceStart(context, journal);
    await announce(context, { ...LINE, ...TIMES } as HistoryLine);
    await announce(context, { ...LINE, ...TIMES, result: 'rolled_back' } as HistoryLine);
  } finally {
    web.close();
    grafanas.close();
  }

  const release = `gatehouse@1.2.3+${LINE.to}`;
  const releases = '/api/0/organizations/acme/releases/';
  const authorization = 'Bearer token';
  const annotation = { path: '/api/annotations', authorization: `Basic ${btoa('admin:open')}` };
  expect(warnings).toEqual([]);
  expect(told).toMatchObject([
    { path: '/hook', authorization: undefined, body: { result: 'started', to: LINE.to, from: null } },
    { ...annotation, body: { tags: ['deploy', 'staging', 'succeeded'] } },
    { path: releases, authorization, body: { version: release, projects: ['gatehouse'] } },
    { path: `${releases}${encodeURIComponent(release)}/deploys/`, authorization, body: { environment: 'staging' } },
    { path: '/hook', body: { result: 'succeeded' } },
    { ...annotation, body: { tags: ['deploy', 'staging', 'rolled_back'] } },
    { path: '/hook', body: { result: 'rolled_back' } },
  ]);
});
