import { defineConfig } from 'vitest/config';

/**
 * Three projects, which `npm test` runs one after the other: packages by themselves; the SDK and isolation suites against one server
 * that they share; chaos against a server of its own. Files run one by one: many own a server, a runner or a namespace.
 */
export default defineConfig({
  test: {
    fileParallelism: false,
    pool: 'forks',
    // CI shares its machine and may stall for seconds. What passes only at the second attempt is marked `(retry x1)` in the output.
    retry: process.env['CI'] ? 1 : 0,
    projects: [
      { extends: true, test: { name: 'packages', include: ['packages/*/test/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 300_000 } },
      {
        extends: true,
        test: { name: 'server', include: ['e2e/{sdk,isolation,python,ssh,registry,snapshots,volumes,archive}/**/*.test.ts'], globalSetup: ['e2e/support/global-setup.ts'], testTimeout: 60_000, hookTimeout: 300_000 },
      },
      // By `npm run test:images` alone: gigabytes of downloads.
      { extends: true, test: { name: 'images', include: ['e2e/images/**/*.test.ts'], testTimeout: 180_000, hookTimeout: 3_600_000 } },
      // The first server on a machine makes the image, which takes minutes.
      { extends: true, test: { name: 'chaos', include: ['e2e/chaos/**/*.test.ts'], testTimeout: 300_000, hookTimeout: 900_000 } },
    ],
  },
});
