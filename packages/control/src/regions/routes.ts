import { RegionDto } from '@paddock/contract';
import { Type } from 'typebox';
import { principalOf } from '../auth/index.ts';
import { ApiError, type ApiServer } from '../http/index.ts';
import type { Regions } from './regions.ts';

export function regionRoutes(api: ApiServer, { regions }: { readonly regions: Regions }): void {
  api.get('/shared-regions', {
    config: { access: 'public' },
    schema: { tags: ['regions'], operationId: 'listSharedRegions', response: { 200: Type.Array(RegionDto) } },
  }, async () => regions.shared());

  api.get('/regions', {
    schema: { tags: ['organizations'], operationId: 'listAvailableRegions', response: { 200: Type.Array(RegionDto) } },
  }, async (request) => regions.visibleTo(principalOf(request).organizationId));

  api.get('/regions/:id', {
    schema: { tags: ['organizations'], operationId: 'getRegionById', params: Type.Object({ id: Type.String() }), response: { 200: RegionDto } },
  }, async (request) => {
    const visible = await regions.visibleTo(principalOf(request).organizationId);
    const region = visible.find(({ id }) => id === request.params.id);
    if (!region) throw new ApiError('REGION_NOT_FOUND');
    return region;
  });
}
