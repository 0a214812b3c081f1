/** Jest's global teardown: stops what the global setup started. */
export default async function tearDown(): Promise<void> {
  await (globalThis as { stopTestServers?: () => Promise<void> }).stopTestServers?.();
}
