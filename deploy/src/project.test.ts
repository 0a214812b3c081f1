import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { must } from './command.ts';
import type { Failure } from './failure.ts';
import { shortRevision } from './project.ts';

const checkout = mkdtempSync(join(tmpdir(), 'gatehouse-checkout-'));
afterEach(() => {
  delete process.env['GIT_TEST_ASSUME_DIFFERENT_OWNER'];
  rmSync(checkout, { recursive: true, force: true });
});

test('a checkout of another user, which Git does not read, is not taken for one without the revision', async () => {
  await must('git', ['init', '-q', checkout]);
  const linesOf = () => shortRevision(checkout, 'HEAD').catch(({ lines }: Failure) => lines.join('\n'));
  expect(await linesOf()).toBe('Give one with REVISION=…');

  // Git's own tests have it believe so.
  process.env['GIT_TEST_ASSUME_DIFFERENT_OWNER'] = 'true';

  expect(await linesOf()).toMatch(/dubious ownership[\s\S]*safe\.directory/);
});
