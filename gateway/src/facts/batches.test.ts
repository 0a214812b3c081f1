import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { createBatches, type Outcome } from './batches.ts';

interface Batch {
  questions: number[];
  timeoutMs: number;
  answer(outcomes?: Outcome<string>[]): void;
  fail(): void;
}

/** Batches whose owner answers when the test says so. */
function owner({ now = () => performance.now() }: { now?: () => number } = {}) {
  const batches: Batch[] = [];
  const singles: number[] = [];
  const ask = createBatches<number, string>({
    askAll: (questions, timeoutMs) =>
      new Promise((resolve, reject) => {
        const answer = (outcomes?: Outcome<string>[]) => resolve(outcomes);
        batches.push({ questions, timeoutMs, answer, fail: () => reject(new Error('gone')) });
      }),
    askOne: async (question) => {
      singles.push(question);
      return `single ${question}`;
    },
    fits: (question) => question >= 0,
    now,
  });
  return { ask, batches, singles };
}

const answered = (questions: number[]) => questions.map((question) => ({ value: `fact ${question}` }));
const turn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const outcome = (asked: Promise<string>) => asked.catch((error: Error) => error.message);

test('what is asked in one turn is one batch, and everyone gets the own answer', async () => {
  const { ask, batches } = owner();
  const asked = Promise.all(range(0, 100).map(ask));
  await turn();

  expect(batches.map(({ questions }) => questions.length)).toEqual([100]);
  batches[0]?.answer(answered(range(0, 100)));
  expect(await asked).toEqual(range(0, 100).map((question) => `fact ${question}`));
});

test('what is asked while a batch is under way is the next one', async () => {
  const { ask, batches } = owner();
  const first = ask(1);
  await turn();
  const [second, third] = [ask(2), ask(3)];
  await turn();
  expect(batches.map(({ questions }) => questions)).toEqual([[1]]);

  batches[0]?.answer(answered([1]));
  expect(await first).toBe('fact 1');
  await turn();
  expect(batches.map(({ questions }) => questions)).toEqual([[1], [2, 3]]);
  batches[1]?.answer(answered([2, 3]));
  expect(await Promise.all([second, third])).toEqual(['fact 2', 'fact 3']);
});

test('no batch has more than five hundred questions, and no more than four are under way', async () => {
  const { ask, batches } = owner();
  const asked = Promise.all(range(0, 2_600).map(ask));
  await turn();
  expect(batches.map(({ questions }) => questions.length)).toEqual([500, 500, 500, 500]);
  await delay(50);
  expect(batches).toHaveLength(4);

  for (let i = 0; i < 6; i++) {
    batches[i]?.answer(answered(batches[i]?.questions ?? []));
    await turn();
  }
  expect(batches.map(({ questions }) => questions.length)).toEqual([500, 500, 500, 500, 500, 100]);
  expect((await asked).at(-1)).toBe('fact 2599');
});

test('a slow batch holds the others up for a moment only', async () => {
  const { ask, batches } = owner();
  void ask(1);
  await turn();
  const second = ask(2);
  await delay(100);

  expect(batches.map(({ questions }) => questions)).toEqual([[1], [2]]);
  batches[1]?.answer(answered([2]));
  expect(await second).toBe('fact 2');
});

test('a batch that fails fails for all in it, and not for those that come next', async () => {
  const { ask, batches } = owner();
  const first = Promise.all([outcome(ask(1)), outcome(ask(2))]);
  await turn();
  const next = ask(3);
  batches[0]?.fail();

  expect(await first).toEqual(['gone', 'gone']);
  await turn();
  batches[1]?.answer(answered([3]));
  expect(await next).toBe('fact 3');
});

test('one bad answer, or one that is missing, leaves the others as they are', async () => {
  const { ask, batches } = owner();
  const asked = Promise.all([1, 2, 3].map((question) => outcome(ask(question))));
  await turn();
  batches[0]?.answer([{ error: new Error('nonsense') }, { value: 'fact 2' }]);

  expect(await asked).toEqual(['nonsense', 'fact 2', 'the owner left a question unanswered']);
});

test('an owner that takes no batches is asked one by one, those that wait included, and later tried again', async () => {
  let at = 0;
  const { ask, batches, singles } = owner({ now: () => at });
  const first = ask(1);
  await turn();
  const second = ask(2);
  batches[0]?.answer(undefined);
  expect(await Promise.all([first, second, ask(3)])).toEqual(['single 1', 'single 2', 'single 3']);
  expect(singles.toSorted()).toEqual([1, 2, 3]);

  at += 10_000;
  const later = ask(4);
  await turn();
  batches[1]?.answer(answered([4]));
  expect(await later).toBe('fact 4');
});

test('what would spoil a batch is asked alone', async () => {
  const { ask, batches } = owner();
  const [odd, good] = [ask(-1), ask(1)];
  await turn();
  batches[0]?.answer(answered([1]));
  expect(await Promise.all([odd, good])).toEqual(['single -1', 'fact 1']);
});

test('the time in line counts: the owner gets what is left, and who waited too long is refused', async () => {
  let at = 0;
  const { ask, batches } = owner({ now: () => at });
  void ask(0);
  await turn();
  const late = outcome(ask(1));
  at += 300;
  const other = outcome(ask(2));
  at += 750;
  batches[0]?.answer(answered([0]));
  await turn();

  expect(await late).toBe('the owner of a fact answers too slowly');
  expect(batches[1]).toMatchObject({ questions: [2], timeoutMs: 1_250 });
  batches[1]?.answer(answered([2]));
  expect(await other).toBe('fact 2');
});
