// SUITE chooses what runs: unit (the default), fault (*.fault.test.ts), deploy (*.deploy.test.ts), deploy-all or e2e (the folder e2e/, on a whole platform).
const alone = { maxWorkers: 1, globalSetup: undefined, globalTeardown: undefined };
const suites = {
  unit: {
    testMatch: ['**/*.test.ts'],
    testPathIgnorePatterns: ['\\.(fault|deploy|deploy-all)\\.test\\.ts$', '<rootDir>/e2e/'],
  },
  fault: { testMatch: ['**/*.fault.test.ts'], testPathIgnorePatterns: [] },
  // With a Docker engine. One host, one thing at a time.
  deploy: { testMatch: ['**/*.deploy.test.ts'], testPathIgnorePatterns: [], ...alone },
  'deploy-all': { testMatch: ['**/*.deploy-all.test.ts'], testPathIgnorePatterns: [], ...alone },
  e2e: {
    testMatch: ['<rootDir>/e2e/**/*.test.ts'],
    testPathIgnorePatterns: ['\\.fault\\.test\\.ts$'],
    globalSetup: '<rootDir>/e2e/house/setup.ts',
    globalTeardown: '<rootDir>/e2e/house/teardown.ts',
    testSequencer: '<rootDir>/e2e/house/sequencer.ts',
    // One platform, and limits that count by address: one file after another.
    maxWorkers: 1,
  },
};
const name = process.env.SUITE ?? 'unit';
const suite = suites[name];
if (!suite) throw new Error(`SUITE is ${name}; it must be one of ${Object.keys(suites).join(', ')}`);

export default {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  // Node strips the types itself, so nothing is transformed.
  transform: {},
  extensionsToTreatAsEsm: ['.ts'],
  moduleFileExtensions: ['ts', 'js', 'mjs', 'cjs', 'json', 'node'],
  globalSetup: '<rootDir>/packages/testkit/src/global-setup.ts',
  globalTeardown: '<rootDir>/packages/testkit/src/global-teardown.ts',
  ...suite,
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/.data/', ...suite.testPathIgnorePatterns],
  modulePathIgnorePatterns: ['<rootDir>/.data/'],
  testTimeout: 20_000,
  // What a failed test leaves open must not keep a run from ending.
  forceExit: true,
};
