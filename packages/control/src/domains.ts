import { apiKeyRoutes } from './api-keys/index.ts';
import { configurationRoutes } from './configuration/routes.ts';
import { dockerRegistryRoutes } from './docker-registry/index.ts';
import { healthRoutes } from './health/routes.ts';
import type { Domain } from './http/index.ts';
import { notYetRoutes } from './not-yet/index.ts';
import { objectStorageRoutes } from './object-storage/index.ts';
import { organizationRoutes } from './organizations/index.ts';
import { regionRoutes } from './regions/index.ts';
import { snapshotRoutes } from './snapshots/index.ts';
import { userRoutes } from './users/index.ts';

/** Domains that need nothing but the shared context. */
const PLAIN: readonly Domain[] = [configurationRoutes, healthRoutes, apiKeyRoutes, userRoutes, organizationRoutes, regionRoutes, snapshotRoutes, dockerRegistryRoutes, objectStorageRoutes];

/** @param more domains with parts of their own, such as the sandboxes @returns all, those without code last */
export function domainsWith(more: readonly Domain[]): readonly Domain[] {
  return [...PLAIN, ...more, notYetRoutes];
}

export const DOMAINS = domainsWith([]);
