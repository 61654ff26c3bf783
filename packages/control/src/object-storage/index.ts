/** Blobs of the installation, who may reach them, and the API's side of it. */
export { createObjectStore, prepareBlobRoot } from './create.ts';
export { objectStorageRoutes } from './routes.ts';
export { serveObjects } from './serve.ts';
export type { ClientOrigin, ObjectStore } from './object-store.ts';
