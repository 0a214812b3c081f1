import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { noteCanary } from './house/canaries.ts';
import { house } from './house/house.ts';

const DEMO = join(import.meta.dirname, 'demo.ts');
const scratch = mkdtempSync(join(tmpdir(), 'gatehouse-demo-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Plays the demo as `make demo` does, in a process of its own. */
function play(env: Record<string, string> = {}): Promise<{ code: number; out: string; err: string }> {
  const { url, dataDir, mailboxUrl } = house();
  const places = { PUBLIC_URL: url, DATA_DIR: dataDir, MAILBOX_URL: mailboxUrl };
  const variables = { PATH: process.env['PATH'], ...places, ...env };
  return new Promise((resolve) => {
    execFile(process.execPath, [DEMO], { env: variables, timeout: 120_000 }, (error, out, err) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
    );
  });
}

const kept = () => JSON.parse(readFileSync(join(house().dataDir, 'demo.json'), 'utf8'));

test('the demo plays on an empty platform, and again on the one that it left', async () => {
  const first = await play();
  expect(first).toMatchObject({ code: 0, err: '' });
  expect(first.out).toContain('founded, in one transaction');
  expect(first.out).not.toContain('exists already');

  const second = await play();
  expect(second).toMatchObject({ code: 0, err: '' });
  expect(second.out.match(/exists already/g)).toHaveLength(3);
  // Two plays in a row stay within the sign-ins that nginx lets one address make.
  expect(second.out).not.toContain('limited');

  const { admin, viewer, key } = kept();
  for (const secret of [admin.password, viewer.password, key.key]) {
    noteCanary(join(house().dataDir, 'canaries'), secret);
    expect(first.out + second.out).not.toContain(secret);
  }
  expect(first.out).not.toMatch(/eyJ[\w-]{20,}/);
  // No escape codes where no terminal is.
  expect(first.out).not.toContain('\u001b');
}, 90_000);

test('the story of an account plays from the invitation to the trail without a secret in it, and again', async () => {
  for (let telling = 1; telling <= 2; telling++) {
    const { code, out, err } = await play({ STORY: 'identity' });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const said of [
      'a device that was not seen before is told of by mail',
      'auth.password_reset_required',
      'the sessions are dead on both devices',
      'seeds and tokens of this telling is in it',
      'holds none of her sign-ins',
    ])
      expect(out).toContain(said);
    // What it shows of tokens is their beginnings.
    expect(out).not.toMatch(/eyJ[\w-]{20,}|token=[\w-]{20,}/);
  }
}, 250_000);

test('what the demo keeps is for its owner alone', () => {
  expect(statSync(join(house().dataDir, 'demo.json')).mode & 0o777).toBe(0o600);
});

test('a platform that somebody else bootstrapped ends the demo with a clear line', async () => {
  const { code, err } = await play({ DATA_DIR: scratch, CA_FILE: house().ca });
  expect(code).toBe(1);
  expect(err).toMatch(
    /FAILED: expected that .*demo\.json knows the admin of this platform, which somebody else bootstrapped/,
  );
});

test('a platform that is not there, a certificate that is not trusted, and a story that is not told are said', async () => {
  const [absent, unknown] = await Promise.all([
    play({ PUBLIC_URL: 'https://localhost:9' }),
    play({ STORY: 'no-such-story' }),
  ]);
  expect(absent).toMatchObject({ code: 1, err: expect.stringContaining('make up') });
  expect(unknown).toMatchObject({ code: 1, err: expect.stringContaining('STORY is one of main') });
});
