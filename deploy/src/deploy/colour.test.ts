import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { saveLogs } from './colour.ts';

test('kept logs are for whoever deploys, and for no other user of the host', async () => {
  const release = mkdtempSync(join(tmpdir(), 'gatehouse-logs-'));
  try {
    const folder = await saveLogs([], release);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  } finally {
    rmSync(release, { recursive: true });
  }
});
