import { testDatabase } from '@gatehouse/testkit/database';
import { expect, test } from '@jest/globals';
import { checkClock } from './clock-check.ts';

test('F36 a process whose clock is more than five seconds off the database’s is not ready', async () => {
  const database = await testDatabase();
  try {
    const pool = database.pool('auth');
    const off = (seconds: number) => () => new Date(Date.now() + seconds * 1000);
    for (const seconds of [0, 3, -3]) await checkClock(pool, off(seconds));
    await expect(checkClock(pool, off(600))).rejects.toThrow('600 s ahead');
    await expect(checkClock(pool, off(-600))).rejects.toThrow('600 s behind');
    await expect(checkClock(pool, off(-3600))).rejects.toThrow('3600 s behind');
    await expect(checkClock(pool, off(7))).rejects.toThrow('ahead');
  } finally {
    await database.close();
  }
});
