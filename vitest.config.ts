import { defineConfig } from 'vitest/config';

/** One project per package: unit tests run in parallel, anything that owns a runner or a server runs file by file. */
export default defineConfig({
  test: {
    include: ['packages/*/test/**/*.test.ts', 'e2e/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 300_000,
    fileParallelism: false,
    pool: 'forks',
  },
});
