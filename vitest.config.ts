import { defineConfig } from 'vitest/config';

const VECTORS = 'test/**/*.vectors.test.ts';

const project = (name: string, testTimeout: number, extra: object = {}) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    exclude: [VECTORS, '**/node_modules/**', 'test/e2e/.peers/**'],
    testTimeout,
    hookTimeout: testTimeout,
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
