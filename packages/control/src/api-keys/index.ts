/** Keys that programs come with. */
export { generateApiKey, storedParts } from './api-keys.ts';
export { apiKeyRoutes } from './routes.ts';
export { insertApiKey } from './store.ts';
