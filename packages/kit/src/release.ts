import { readFileSync } from 'node:fs';

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));

/** The release that runs: the project's version and the revision that the image was built from. */
export const release: { version: string; revision: string } = {
  version,
  revision: process.env.GATEHOUSE_REVISION ?? 'working-tree',
};
