/** Registries that images come from, and access to the one of this server. */
export { DockerRegistries } from './docker-registries.ts';
export { RegistryShelf } from './image-shelf.ts';
export { ecrTokens } from './ecr.ts';
export { OwnRegistry, type PullAccess } from './own-registry.ts';
export { dockerRegistryRoutes } from './routes.ts';
