/** The OCI distribution server. */
export { createRegistry, type Registry, type RegistryEvent, type RegistryOptions } from './registry.ts';
export { RegistryCredentials, type RegistryAccess, type RegistryAction, type RegistryCredential, type RegistryGrant } from './credentials.ts';
export { RegistryError } from './errors.ts';
export type { Exclusive } from './locks.ts';
export { isRepository, isTag, parseDigest, type Digest } from './names.ts';
