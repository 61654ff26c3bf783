/** Pulls from OCI registries. */
export { RegistryClient, type RegistrySettings, type ResolvedImage } from './client.ts';
export { RegistryError, type RegistryFailure } from './errors.ts';
export { readConfig, writeConfig, type WrittenConfig } from './image-config.ts';
export { type Descriptor, type ImageDocument } from './manifest.ts';
export { parseReference, sameHost, type Reference } from './reference.ts';
