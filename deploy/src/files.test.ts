import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { writeFileAtomically } from './files.ts';

test('nginx, another user, can read what is written for it, whatever the umask of who deploys', () => {
  const folder = mkdtempSync(join(tmpdir(), 'files-'));
  const umask = process.umask(0o077);
  try {
    writeFileAtomically(join(folder, 'upstream.conf'), 'server');
    writeFileAtomically(join(folder, 'secret'), 'x', 0o600);
  } finally {
    process.umask(umask);
  }

  expect(['upstream.conf', 'secret'].map((name) => statSync(join(folder, name)).mode & 0o777)).toEqual([0o644, 0o600]);
  rmSync(folder, { recursive: true });
});
