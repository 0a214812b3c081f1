import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@gatehouse/testkit/process';
import { startPlatform } from '../../dev/src/platform.ts';
import { publishHouse } from './house.ts';

/** Jest's global setup of the end-to-end suite: one whole platform for the run, on ports and data of its own. */
// biome-ignore lint/style/noDefaultExport: Jest takes the default export.
export default async function setUp(): Promise<void> {
  // Whoever writes tests keeps a platform running and says so.
  if (process.env['GATEHOUSE_E2E']) return;
  const dataDir = mkdtempSync(join(tmpdir(), 'gatehouse-e2e-'));
  // Postgres' user, if it is not ours, must pass through here.
  chmodSync(dataDir, 0o755);
  const listener = await freePort();
  try {
    const platform = await startPlatform({
      dataDir,
      ports: 'free',
      durable: false,
      settings: {
        UPSTREAMS: `example=http://127.0.0.1:4010,own=http://127.0.0.1:${listener}`,
        // The tests found more companies and make more accounts than a person would.
        ORGANIZATIONS_PER_USER_MAX: '500',
        BCRYPT_COST: '6',
        LIMIT_USER_MINUTE: '5000',
        LIMIT_ADDRESS_MINUTE: '5000',
      },
    });
    writeFileSync(join(dataDir, 'canaries'), '', { mode: 0o600 });
    publishHouse(platform, dataDir, listener);
    (globalThis as { closeHouse?: () => Promise<void> }).closeHouse = async () => {
      await platform.stop();
      if (!process.env['KEEP_DATA']) rmSync(dataDir, { recursive: true, force: true });
    };
  } catch (error) {
    rmSync(dataDir, { recursive: true, force: true });
    throw error;
  }
}
