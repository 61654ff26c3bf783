/** Sandboxes kept ready for creates. */
export { WarmPool, warmKeyOf, type WarmPoolDeps } from './warm-pool.ts';
