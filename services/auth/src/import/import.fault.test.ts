import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@gatehouse/testkit/eventually';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AuthUnderTest, startAuth } from '../testing.ts';
import { runImport } from './testing.ts';

const LINES = 20_000;
const REFUSED_EVERY = 97;
const BOUND_MS = 30_000;
const KILLS = 6;

let auth: AuthUnderTest;
let dir: string;
beforeAll(async () => {
  auth = await startAuth();
  dir = await mkdtemp(join(tmpdir(), 'import-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
  await auth.close();
});

/** 20,000 users, of whom every 97th line is none. */
async function largeFile(tag: string): Promise<string> {
  const path = join(dir, `${tag}.ndjson`);
  const lines = Array.from({ length: LINES }, (_, n) =>
    JSON.stringify({
      email: isRefused(n + 1) ? 'no address' : `${tag}-${n}@moved.test`,
      name: `User ${n}`,
      password_hash: '$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW',
      email_verified: true,
    }),
  );
  await writeFile(path, lines.join('\n'));
  return path;
}
const isRefused = (line: number) => line % REFUSED_EVERY === 0;
const REFUSED = Array.from({ length: LINES }, (_, n) => n + 1).filter(isRefused);

const progress = async (path: string) =>
  (await auth.rows<{ line: number }>('select line from auth.imports where path = $1', [path]))[0]?.line ?? 0;

/** Every line once: as an account that its batch's event names, or as refused. */
async function expectWhole(path: string, tag: string): Promise<void> {
  const users = await auth.rows<{ id: string }>(`select id from auth.users where email like $1`, [`${tag}-%`]);
  expect(users).toHaveLength(LINES - REFUSED.length);
  const events = await auth.rows<{ id: string }>(
    `select jsonb_array_elements_text(o.data -> 'user_ids') as id from events.outbox o
     join auth.imports i on encode(i.file_hash, 'hex') = o.data ->> 'file_hash'
     where o.type = 'auth.users_imported.v1' and i.path = $1`,
    [path],
  );
  expect(events.map(({ id }) => id).sort()).toEqual(users.map(({ id }) => id).sort());
  const refused = (await readFile(`${path}.refused.ndjson`, 'utf8')).trim().split('\n');
  expect(refused.map((line) => JSON.parse(line).line)).toEqual(REFUSED);
}

test('twenty thousand users come in bounded time, and sign in', async () => {
  const path = await largeFile('quick');
  const start = performance.now();
  const { code, stdout } = await runImport(auth, path).ended;
  expect(performance.now() - start).toBeLessThan(BOUND_MS);
  expect(code).toBe(0);
  expect(stdout).toContain(`${LINES - REFUSED.length} users imported, ${REFUSED.length} lines refused`);
  await expectWhole(path, 'quick');
  const body = { email: 'quick-4711@moved.test', password: 'U*U' };
  expect((await auth.anonymous.post('/api/auth/login', body)).status).toBe(200);
}, 60_000);

test('killed again and again in the middle it loses nothing, does nothing twice, and tells each refused line once', async () => {
  const path = await largeFile('killed');
  const told: number[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    const before = await progress(path);
    const { child, ended } = runImport(auth, path);
    const further = before + 1 + Math.floor(Math.random() * 2500);
    await eventually(async () => (await progress(path)) >= further, { timeoutMs: 20_000, everyMs: 1 });
    child.kill('SIGKILL');
    const { code, stderr } = await ended;
    expect(code).toBeNull();
    told.push(...[...stderr.matchAll(/^line (\d+): .+$/gm)].map(([, line]) => Number(line)));
    const line = await progress(path);
    const done = await auth.rows(`select from auth.users where email like 'killed-%'`);
    expect(done).toHaveLength(line - REFUSED.filter((refused) => refused <= line).length);
  }
  expect(await progress(path)).toBeLessThan(LINES);

  const { code, stdout, stderr } = await runImport(auth, path).ended;

  expect(code).toBe(0);
  expect(stdout).toMatch(/^goes on behind line \d+$/m);
  expect(stdout).toContain(`${LINES - REFUSED.length} users imported, ${REFUSED.length} lines refused`);
  told.push(...[...stderr.matchAll(/^line (\d+): .+$/gm)].map(([, line]) => Number(line)));
  // What was committed when the kill came may not have been said any more; the file has all of it.
  expect(new Set(told).size).toBe(told.length);
  await expectWhole(path, 'killed');
}, 90_000);
