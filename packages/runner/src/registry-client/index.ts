/** Pulls from OCI registries and pushes to them. */
export { RegistryClient, type ResolvedImage } from './client.ts';
export { type RegistrySettings } from './session.ts';
export { RegistryPusher, type BlobUpload } from './push.ts';
export { RegistryError, type RegistryFailure } from './errors.ts';
export { readConfig, writeConfig, type WrittenConfig } from './image-config.ts';
export { HERE, type Descriptor, type ImageDocument } from './manifest.ts';
export { DIGEST, parseReference, sameHost, type Reference } from './reference.ts';
