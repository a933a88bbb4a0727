import { defineConfig } from 'vitest/config';

const VECTORS = 'test/**/*.vectors.test.ts';

// On a CI machine whose cores others share, a real peer may be late once. What fails twice in a row has failed, and a test that needed its
// second try is named in the output.
const retry = process.env['CI'] === 'true' ? 1 : 0;

const project = (name: string, testTimeout: number, extra: object = {}) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    exclude: [VECTORS, '**/node_modules/**', 'test/e2e/.peers/**'],
    testTimeout,
    hookTimeout: testTimeout,
    retry,
    ...extra,
  },
});

export default defineConfig({
  test: {
    projects: [
      project('unit', 20_000),
      project('conformance', 60_000),
      project('fuzz', 120_000),
      // Public test data in the folder that BULKHEAD_VECTORS names: absent data is a failure, so this is run only when asked.
      project('vectors', 120_000, { include: [VECTORS], exclude: ['**/node_modules/**'] }),
      // Real peers share two cores and loopback ports: one file at a time.
      project('e2e', 600_000, { fileParallelism: false, globalSetup: ['test/e2e/require-peers.ts'] }),
    ],
  },
});
