/** The server that is measured. */
import { startPaddock, type Paddock, type PaddockOptions } from '../e2e/support/harness.ts';

/**
 * With the pool's default size, where tests take less: btrfs lets more wait to be written the more room there is, so a smaller one is a
 * slower one.
 */
export function startServer({ env, ...options }: PaddockOptions = {}): Promise<Paddock> {
  return startPaddock({ ...options, env: { PADDOCK_POOL_SIZE_GIB: '200', ...env } });
}
