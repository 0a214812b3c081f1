import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Platform, type PlatformOptions, startPlatform } from '../../dev/src/platform.ts';
import { closeVisitors, publishHouse } from '../house/house.ts';

export interface Scene {
  platform: Platform;
  /** Kills a process as a crash would, at once. */
  kill(name: string): Promise<void>;
  /** Starts a process again, with other variables if need be; resolves with the milliseconds until it was ready. */
  revive(name: string, variables?: Record<string, string>): Promise<number>;
  close(): Promise<void>;
}

/** A platform of a fault test's own, whose limits are out of the way of its load. */
export async function startScene(options: Partial<PlatformOptions> = {}): Promise<Scene> {
  const dataDir = mkdtempSync(join(tmpdir(), 'gatehouse-fault-'));
  // Postgres' user, if it is not ours, must pass through here.
  chmodSync(dataDir, 0o755);
  writeFileSync(join(dataDir, 'canaries'), '', { mode: 0o600 });
  const platform = await startPlatform({
    ports: 'free',
    durable: false,
    ...options,
    dataDir,
    settings: {
      BCRYPT_COST: '4',
      SESSIONS_MAX: '1000',
      ORGANIZATIONS_PER_USER_MAX: '500',
      NGINX_API_RATE: '5000r/s',
      NGINX_API_BURST: '5000',
      NGINX_LOGIN_RATE: '5000r/s',
      NGINX_LOGIN_BURST: '5000',
      LOGIN_NETWORK_BUDGET: '100000',
      LOGIN_ACCOUNT_NETWORK_BUDGET: '1000',
      LOGIN_BUDGET: '1000',
      LOGIN_LOCK_FAILURES: '1000',
      LIMIT_USER_MINUTE: '100000',
      LIMIT_USER_HOUR: '1000000',
      LIMIT_USER_DAY: '1000000',
      LIMIT_ADDRESS_MINUTE: '100000',
      LIMIT_ADDRESS_HOUR: '1000000',
      LIMIT_ADDRESS_DAY: '1000000',
      ...options.settings,
    },
  }).catch((error) => {
    rmSync(dataDir, { recursive: true, force: true });
    throw error;
  });
  publishHouse(platform, dataDir, 0);
  return {
    platform,
    async kill(name) {
      await platform.process(name).stop('SIGKILL');
    },
    async revive(name, variables) {
      const start = performance.now();
      platform.process(name).start(variables);
      await platform.process(name).ready();
      return performance.now() - start;
    },
    async close() {
      closeVisitors();
      await platform.stop();
      if (!process.env['KEEP_DATA']) rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
