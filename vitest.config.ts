import { defineConfig } from 'vitest/config';

const project = (name: string, testTimeout: number, extra: object = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout, hookTimeout: testTimeout, ...extra },
});

export default defineConfig({
  test: {
    projects: [
      project('unit', 20_000),
      project('conformance', 60_000),
      project('fuzz', 120_000),
      // Real peers share two cores and loopback ports: one file at a time.
      project('e2e', 600_000, { fileParallelism: false, globalSetup: ['test/e2e/require-peers.ts'] }),
    ],
  },
});
