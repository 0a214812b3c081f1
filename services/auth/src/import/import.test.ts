import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AuthUnderTest, PASSWORD, startAuth } from '../testing.ts';
import { runImport } from './testing.ts';

// Made by the systems themselves; the password beside each.
const HASHES: Record<string, [string, string]> = {
  bcrypt: ['$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 'U*U'],
  argon2id: ['$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc', 'password'],
  'django-argon2': [
    'argon2$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
    'password',
  ],
  passlib: ['$pbkdf2-sha256$6400$0ZrzXitFSGltTQnBWOsdAw$Y11AchqV4b0sUisdZd0Xr97KWoymNE0LNNrnEgY4H9M', 'password'],
  django: ['pbkdf2_sha256$10000$seasalt$/YYKSj2X6Ev3+9aKXi1Db9pQoLI+KN96Q8/gEe4g3gc=', 'lètmein correct'],
  werkzeug: [
    'pbkdf2:sha256:10000$seasalt$fd860a4a3d97e84bf7fbd68a5e2d436fda50a0b23e28df7a43cfe011ee20de07',
    'lètmein correct',
  ],
  'werkzeug-scrypt': [
    'scrypt:16384:8:1$seasalt1$d1271156f940383978c3402e29e0dfa4092da8113ecb1936f088d065cc6a7398afad7073fa8815484abded0f84b6c8f1b4c5b0bd42cb2afeedd9c810bcb00e87',
    'lètmein correct',
  ],
  'scrypt-phc': [
    '$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E',
    'password',
  ],
};

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

const run = (file: string, over: Record<string, string | undefined> = {}) => runImport(auth, file, over).ended;

let files = 0;
async function file(lines: (string | Buffer | object)[]): Promise<string> {
  const path = join(dir, `users-${++files}.ndjson`);
  const bytes = lines.map((line) =>
    Buffer.isBuffer(line) ? line : Buffer.from(typeof line === 'string' ? line : JSON.stringify(line)),
  );
  await writeFile(path, Buffer.concat(bytes.flatMap((line) => [line, Buffer.from('\n')])));
  return path;
}
const refusedOf = async (path: string) =>
  (await readFile(`${path}.refused.ndjson`, 'utf8'))
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { line: number; reason: string });
const user = async (email: string) => (await auth.rows('select * from auth.users where email = $1', [email]))[0];
const login = (email: string, password: string) => auth.anonymous.post('/api/auth/login', { email, password });

test('users come with the hashes of the systems they had, sign in with them, and the hash becomes ours', async () => {
  const path = await file(
    Object.entries(HASHES).map(([format, [password_hash]]) => ({
      email: `${format}@moved.test`,
      name: `From ${format}`,
      password_hash,
      email_verified: true,
      created_at: '2019-03-04T05:06:07Z',
    })),
  );

  const done = await run(path);

  expect(done).toMatchObject({ code: 0, stderr: '' });
  expect(done.stdout).toContain(`${Object.keys(HASHES).length} users imported, 0 lines refused`);
  for (const [format, [, password]] of Object.entries(HASHES)) {
    const email = `${format}@moved.test`;
    expect(await user(email)).toMatchObject({
      name: `From ${format}`,
      role: 'user',
      status: 'active',
      created_at: new Date('2019-03-04T05:06:07Z'),
      email_verified_at: expect.any(Date),
    });
    expect({ format, status: (await login(email, `${password}x`)).status }).toEqual({ format, status: 401 });
    expect({ format, status: (await login(email, password)).status }).toEqual({ format, status: 200 });
    expect((await user(email))?.['password_hash']).toMatch(/^bcrypt-p1:/);
    expect({ format, status: (await login(email, password)).status }).toEqual({ format, status: 200 });
  }
  const told = JSON.stringify(await auth.events('auth.users_imported.v1'));
  expect(told).not.toMatch(/moved\.test|\$2y/);
});

test('every refused line is told with its number and reason, and no hash or value of it', async () => {
  const taken = await auth.user({ email: 'taken@moved.test' });
  const path = await file([
    { email: 'First@Moved.TEST' },
    '',
    '{"email": "broken@moved.test"',
    '[]',
    '"text"',
    'null',
    { email: taken.email },
    { email: 'FIRST@moved.test ' },
    { email: 'no address' },
    { email: 'a@moved.test', role: 'admin' },
    { email: 'b@moved.test', role: 'owner' },
    { email: 'c@moved.test', password_hash: 'md5$salt$0123456789' },
    { email: 'd@moved.test', password_hash: PASSWORD },
    { email: 'e@moved.test', is_admin: true, status: 'active' },
    { email: 'f@moved.test', created_at: '2999-01-01T00:00:00Z' },
    { email: 'g@moved.test', created_at: 'yesterday' },
    { email: 'h@moved.test', created_at: '0001-01-01T00:00:00Z' },
    { email: 'i@moved.test', name: 'a\u0000b' },
    { email: 'j@moved.test', name: 'a\nBcc: x@y.test' },
    { email: 'k@moved.test', email_verified: 'yes' },
    { email: ['l@moved.test'] },
    { name: 'nobody' },
    Buffer.from([0x7b, 0xff, 0xfe, 0x7d]),
    { email: 'm@moved.test', name: 'x'.repeat(20_000) },
    { email: 'n@moved.test', password_hash: 'pbkdf2_sha256$99999999$salt$AAAA' },
    { email: 'o@moved.test', password_hash: '$argon2id$v=16$m=65536,t=2,p=1$c29tZXNhbHQ$AAAAAAAA' },
    { email: 'p@moved.test', password_hash: '$argon2id$v=19$m=4,t=0,p=0$c29tZXNhbHQ$AAAAAAAA' },
    { email: 'q@moved.test', password_hash: 'scrypt:1000000:64:1$salt$00' },
    { email: 'q1@moved.test', password_hash: 'scrypt:1024:8:1$salt$a' },
    { email: 'q2@moved.test', password_hash: `$argon2id$v=19$m=1048576,t=999,p=1$c29tZXNhbHQ$${'A'.repeat(43)}` },
    '{"email":"r@moved.test","__proto__":{"role":"admin"}}',
    { email: 'last@moved.test', role: 'user' },
  ]);

  const done = await run(path);

  expect(done.code).toBe(0);
  expect(done.stdout).toContain('2 users imported, 29 lines refused, 32 lines read');
  const refused = await refusedOf(path);
  expect(refused.map(({ line }) => line)).toEqual(Array.from({ length: 29 }, (_, n) => n + 3));
  expect(done.stderr.trim().split('\n')).toEqual(refused.map(({ line, reason }) => `line ${line}: ${reason}`));
  expect(refused[4]?.reason).toBe('email: has an account');
  expect(refused[5]?.reason).toBe('email: has an account');
  expect(refused[7]?.reason).toMatch(/^role: must be user or guest/);
  expect(refused[9]?.reason).toMatch(/^password_hash: /);
  expect(refused[11]?.reason).toBe('unknown: is_admin, status');
  expect(JSON.stringify(refused)).not.toMatch(/md5|violet|yesterday/);
  expect(await user('first@moved.test')).toMatchObject({ role: 'guest', name: 'first', password_hash: null });
  expect(await user('last@moved.test')).toMatchObject({ role: 'user', email_verified_at: null });
  expect(await auth.rows(`select from auth.users where role = 'admin'`)).toEqual([]);
});

describe('a second run', () => {
  test('does nothing again', async () => {
    const path = await file([{ email: 'once@moved.test' }, { email: 'not an address' }]);
    await run(path);
    const again = await run(path);
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(again.stdout).toContain('was imported before');
    expect(again.stdout).toContain('1 users imported, 1 lines refused');
    const events = (await auth.events('auth.users_imported.v1')).filter(({ data }) => data['to_line'] === 2);
    expect(events).toHaveLength(1);
  });

  test('of a file that was changed in the middle of its import is refused, unless it is meant', async () => {
    const path = await file([{ email: 'changed-1@moved.test' }, { email: 'changed-2@moved.test' }]);
    await run(path);
    await auth.rows('update auth.imports set finished_at = null where path = $1', [path]);
    await writeFile(path, `${JSON.stringify({ email: 'changed-3@moved.test' })}\n`);

    const refused = await run(path);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/^import-users: the file was changed since 2 lines of it were imported[^\n]*\n$/);
    expect(await user('changed-3@moved.test')).toBeUndefined();

    expect(await run(path, { ANEW: '1' })).toMatchObject({ code: 0 });
    expect(await user('changed-3@moved.test')).toBeDefined();
  });

  test('at the same time imports no line twice', async () => {
    const lines = Array.from({ length: 3000 }, (_, n) => ({ email: `both-${n}@moved.test` }));
    const path = await file(lines);
    const runs = await Promise.all([run(path), run(path), run(path)]);
    expect(runs.some(({ code }) => code === 0)).toBe(true);
    for (const { code, stderr } of runs) if (code !== 0) expect(stderr).toContain('another run imports this file');
    const [row] = await auth.rows('select line, created, refused from auth.imports where path = $1', [path]);
    expect(row).toEqual({ line: 3000, created: 3000, refused: 0 });
    const events = (await auth.events('auth.users_imported.v1')).slice(-6);
    expect(events.flatMap(({ data }) => data['user_ids'])).toHaveLength(3000);
  });
});

test('refuses in one line that says what is missing', async () => {
  const path = await file([{ email: 'never@moved.test' }]);
  const settings = await run(path, { DATABASE_HOST: undefined, AUTH_DATABASE_PASSWORD: undefined });
  expect(settings).toMatchObject({ code: 78, stdout: '' });
  expect(settings.stderr).toMatch(
    /^import-users: [^\n]*DATABASE_HOST: is required[^\n]*AUTH_DATABASE_PASSWORD: is required\n$/,
  );
  const missing = await run(join(dir, 'nowhere.ndjson'));
  expect(missing.code).toBe(64);
  expect(missing.stderr.trim().split('\n')).toHaveLength(1);
  const away = await run(path, { DATABASE_PORT: '1' });
  expect(away.code).not.toBe(0);
  expect(away.stderr.trim().split('\n')).toHaveLength(1);
  expect(await user('never@moved.test')).toBeUndefined();
});
