/** The part of the protocol that is known but not served. */
export { notYetRoutes } from './routes.ts';
