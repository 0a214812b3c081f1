import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

const ROOT = new URL('..', import.meta.url).pathname;

/** The text of every test file. */
function testFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return /^(node_modules|\.)/.test(entry.name) ? [] : testFiles(path);
    return entry.name.endsWith('.test.ts') ? [readFileSync(path, 'utf8')] : [];
  });
}

test('every case that the security page names is in the title of a test', () => {
  const page = readFileSync(join(ROOT, 'docs', 'security.md'), 'utf8');
  const named = new Set(page.match(/\b[SF]\d{2,3}\b/g));
  const titles = testFiles(ROOT)
    .flatMap((text) => text.match(/\b(?:test|describe|each)\b[^\n]*\n?[^\n]*/g) ?? [])
    .join('\n');
  const proved = new Set(titles.match(/\b[SF]\d{2,3}\b/g));

  expect([...named].filter((name) => !proved.has(name))).toEqual([]);
});
