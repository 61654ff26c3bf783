/** People. */
export { userRoutes } from './routes.ts';
export { ensureAdminUser } from './store.ts';
