/** Where sandboxes can be. */
export { Regions } from './regions.ts';
export { regionRoutes } from './routes.ts';
export { ensureSharedRegion } from './store.ts';
