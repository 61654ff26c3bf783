/** Blobs of the installation, who may reach them, and the API's side of it. */
export { createObjectStore, prepareBlobRoot } from './create.ts';
export type { ClientOrigin, ObjectStore } from './object-store.ts';
