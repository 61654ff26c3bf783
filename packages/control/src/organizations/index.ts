/** Who owns sandboxes, and within which limits. */
export { LIMIT_HELP, overPerSandboxLimit } from './limits.ts';
export { Organizations, type OrganizationRules, type RegionUsage, type ResourceAmounts, type UsageSource } from './organizations.ts';
export { organizationRoutes } from './routes.ts';
export { ensureOwner, ensurePersonalOrganization } from './store.ts';
