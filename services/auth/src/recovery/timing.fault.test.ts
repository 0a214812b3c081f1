import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { elsewhere } from '../mails/testing.ts';
import { isAlike, median, rankTest, timePairs } from '../test-timing.ts';
import { type AuthUnderTest, PASSWORD, startAuth } from '../testing.ts';

const PAIRS = 200;

let auth: AuthUnderTest;
beforeAll(async () => {
  auth = await startAuth({ REGISTRATION_MODE: 'open' });
});
afterAll(() => auth.close());

// A fresh address each time: the mails of an address are limited, and whoever has had them is a case of its own.
let round = 0;
async function people(): Promise<{ known: string[]; unknown: string[] }> {
  round += 1;
  const name = (kind: string, n: number) => `${kind}-${round}-${String(n).padStart(4, '0')}@timing.test`;
  const known = Array.from({ length: PAIRS }, (_, n) => name('person', n));
  for (const [n, email] of known.entries())
    await auth.user({ email, ...(n % 5 === 1 ? { hash: null } : {}), ...(n % 5 === 2 ? { role: 'guest' } : {}) });
  return { known, unknown: known.map((_, n) => name('nobody', n)) };
}

test.each(['password/forgot', 'email/resend'])(
  'S002 two hundred interleaved requests to %s take the same time for known and unknown addresses',
  async (path) => {
    const ask = (email: string) => elsewhere(auth).post(`/api/auth/${path}`, { email });
    // A loaded machine may spoil one run, not three: what can be told apart can be told apart in each.
    const verdicts: { alike: boolean; ratio: number; p: number }[] = [];
    while (verdicts.length < 3 && !verdicts.some(({ alike }) => alike)) {
      const { known, unknown } = await people();
      const times = await timePairs(PAIRS, {
        known: (n) => ask(known[n] as string),
        unknown: (n) => ask(unknown[n] as string),
      });
      const ratio = median(times.known) / median(times.unknown);
      verdicts.push({ alike: isAlike(times), ratio, p: rankTest(times.known, times.unknown) });
    }
    expect(verdicts).toContainEqual(expect.objectContaining({ alike: true }));
  },
  120_000,
);

test('S002 neither does an address that has had its mails, or an account that is disabled', async () => {
  const { known, unknown } = await people();
  await auth.rows(`update auth.users set status = 'disabled' where email = any($1)`, [known.filter((_, n) => n % 2)]);
  for (const email of known.filter((_, n) => n % 2 === 0))
    for (let n = 0; n < 3; n++) await elsewhere(auth).post('/api/auth/password/forgot', { email });
  const ask = (email: string) => elsewhere(auth).post('/api/auth/password/forgot', { email });
  const verdicts: unknown[] = [];
  // A used-up budget answers a little sooner, whoever has the address: it is compared with one that is used up, too.
  for (const email of unknown.filter((_, n) => n % 2 === 0)) for (let n = 0; n < 3; n++) await ask(email);
  while (verdicts.length < 3 && !verdicts.includes(true))
    verdicts.push(
      isAlike(
        await timePairs(PAIRS, {
          known: (n) => ask(known[n] as string),
          unknown: (n) => ask(unknown[n] as string),
        }),
      ),
    );
  expect(verdicts).toContain(true);
}, 120_000);

test('S001 S002 a wrong password takes as long for a registration that waits for its link as for an unknown address', async () => {
  const slow = await auth.another({ BCRYPT_COST: 9, LOGIN_BUDGET: 10_000, LOGIN_NETWORK_BUDGET: 100_000 });
  const pending = Array.from({ length: 5 }, (_, n) => `pending-${n}-of-the-register@timing.test`);
  for (const email of pending)
    await elsewhere(auth).post('/api/auth/register', { email, name: 'P', password: PASSWORD });
  const login = (email: string) =>
    slow
      .as({ kind: 'anonymous' }, { 'x-forwarded-for': `10.77.${Math.floor(Math.random() * 250)}.1` })
      .post('/api/auth/login', { email, password: 'a wrong password indeed' });
  const verdicts: unknown[] = [];
  while (verdicts.length < 3 && !verdicts.includes(true)) {
    await auth.rows('delete from auth.login_lanes');
    verdicts.push(
      isAlike(
        await timePairs(40, {
          known: (n) => login(pending[n % 5] as string),
          unknown: (n) => login(`nobody-${n % 5}-in-the-registers@timing.test`),
        }),
      ),
    );
  }
  expect(verdicts).toContain(true);
}, 120_000);
