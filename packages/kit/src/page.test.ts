import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { decodeCursor, encodeCursor, Page, toPage } from './page.ts';

const Position = z.tuple([z.string(), z.number()]);

test('a cursor gives back its position in the list it was made for', () => {
  const cursor = encodeCursor('members:a', ['2026-01-01', 7]);

  expect(decodeCursor('members:a', Position, cursor)).toEqual(['2026-01-01', 7]);
});

test('S083 a cursor of another list or organization is refused', () => {
  const cursor = encodeCursor('members:a', ['2026-01-01', 7]);

  expect(() => decodeCursor('members:b', Position, cursor)).toThrow(/cursor/);
});

test('S083 a cursor with any one character changed is refused', () => {
  const cursor = encodeCursor('members:a', ['2026-01-01', 7]);

  for (let index = 0; index < cursor.length; index++) {
    const other = cursor[index] === 'A' ? 'B' : 'A';
    expect(() => decodeCursor('members:a', Position, cursor.slice(0, index) + other + cursor.slice(index + 1))).toThrow(
      /cursor/,
    );
  }
});

test.each(['-1', '0', '101', '1e9', 'NaN', '10abc', '0x10', '1.5', ''])(
  'S083 S117 the limit %s is refused',
  (limit) => {
    expect(Page.safeParse({ limit }).success).toBe(false);
  },
);

test('a page has a next cursor only when there is more', () => {
  const position = (row: number) => [row];

  expect(toPage([1, 2, 3], 2, 's', position)).toEqual({ data: [1, 2], next_cursor: encodeCursor('s', [2]) });
  expect(toPage([1, 2], 2, 's', position)).toEqual({ data: [1, 2], next_cursor: null });
  expect(toPage([], 2, 's', position)).toEqual({ data: [], next_cursor: null });
});
