/** Registries that images come from, and access to the one of this server. */
export { DockerRegistries } from './docker-registries.ts';
export { ecrTokens } from './ecr.ts';
export { dockerRegistryRoutes } from './routes.ts';
