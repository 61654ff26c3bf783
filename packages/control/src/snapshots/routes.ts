import { ListSnapshotsQuery, PaginatedSnapshots, SnapshotDto } from '@paddock/contract';
import { Type } from 'typebox';
import { principalOf } from '../auth/index.ts';
import { ApiError, type ApiServer } from '../http/index.ts';
import type { Snapshots } from './snapshots.ts';

export function snapshotRoutes(api: ApiServer, { snapshots }: { readonly snapshots: Snapshots }): void {
  api.get('/snapshots', {
    schema: { tags: ['snapshots'], operationId: 'getAllSnapshots', querystring: ListSnapshotsQuery, response: { 200: PaginatedSnapshots } },
  }, async (request) => snapshots.list(principalOf(request).organizationId, request.query));

  api.get('/snapshots/:id', {
    schema: { tags: ['snapshots'], operationId: 'getSnapshot', params: Type.Object({ id: Type.String({ description: 'Id or name' }) }), response: { 200: SnapshotDto } },
  }, async (request) => {
    const snapshot = await snapshots.get(principalOf(request).organizationId, request.params.id);
    if (!snapshot) throw new ApiError('SNAPSHOT_NOT_FOUND', { id: request.params.id });
    return snapshot;
  });
}
