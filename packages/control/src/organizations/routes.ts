import { AvailableSandboxClassDto, OrganizationDto, OrganizationRoleDto, OrganizationUsageDto, OrganizationUserDto } from '@paddock/contract';
import { Type } from 'typebox';
import { principalOf } from '../auth/index.ts';
import { ApiError, type ApiServer } from '../http/index.ts';
import type { Regions } from '../regions/index.ts';
import type { Organizations } from './organizations.ts';

const InPath = Type.Object({ organizationId: Type.String() });

/** The authentication hook has already compared `:organizationId` with the key's organization. */
export function organizationRoutes(api: ApiServer, { organizations, regions }: { readonly organizations: Organizations; readonly regions: Regions }): void {
  const found = <T>(value: T | null, id: string): T => {
    if (value === null) throw new ApiError('ORGANIZATION_NOT_FOUND', { id });
    return value;
  };
  const operation = (operationId: string, reply: Parameters<typeof Type.Array>[0]) =>
    ({ schema: { tags: ['organizations'], operationId, params: InPath, response: { 200: reply } } });

  api.get('/organizations', {
    schema: { tags: ['organizations'], operationId: 'listOrganizations', response: { 200: Type.Array(OrganizationDto) } },
  }, async (request) => {
    const { organizationId } = principalOf(request);
    return [found(await organizations.get(organizationId), organizationId)];
  });

  api.get('/organizations/:organizationId', operation('getOrganization', OrganizationDto), async (request) => {
    const { organizationId } = principalOf(request);
    return found(await organizations.get(organizationId), organizationId);
  });

  api.get('/organizations/:organizationId/usage', operation('getOrganizationUsageOverview', OrganizationUsageDto), async (request) => {
    const { organizationId } = principalOf(request);
    return found(await organizations.usage(organizationId), organizationId);
  });

  api.get('/organizations/:organizationId/users', operation('listOrganizationMembers', Type.Array(OrganizationUserDto)), async (request) =>
    organizations.members(principalOf(request).organizationId));

  api.get('/organizations/:organizationId/roles', operation('listOrganizationRoles', Type.Array(OrganizationRoleDto)), async (request) =>
    organizations.roles(principalOf(request).organizationId));

  api.get('/organizations/:organizationId/available-sandbox-classes', operation('listAvailableSandboxClasses', Type.Array(AvailableSandboxClassDto)), async (request) => {
    const visible = await regions.visibleTo(principalOf(request).organizationId);
    return visible.map(({ id }) => ({ regionId: id, sandboxClass: 'container' as const, gpuAvailable: false }));
  });
}
