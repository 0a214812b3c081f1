/** Jest's global teardown: stops what the global setup started. */
// biome-ignore lint/style/noDefaultExport: Jest takes the default export.
export default async function tearDown(): Promise<void> {
  await (globalThis as { stopTestServers?: () => Promise<void> }).stopTestServers?.();
}
