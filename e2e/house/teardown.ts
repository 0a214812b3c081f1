/** Jest's global teardown of the end-to-end suite. */
// biome-ignore lint/style/noDefaultExport: Jest takes the default export.
export default async function tearDown(): Promise<void> {
  await (globalThis as { closeHouse?: () => Promise<void> }).closeHouse?.();
}
