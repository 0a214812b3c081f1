import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Context } from '../context.ts';
import { placesOf } from '../places.ts';
import type { HistoryLine } from '../state.ts';
import { announce } from './announce.ts';

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
