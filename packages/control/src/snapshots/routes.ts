import { CreateSnapshot, ListSnapshotsQuery, PaginatedSnapshots, SetSnapshotGeneralStatus, SnapshotDto, type Permission } from '@paddock/contract';
import { Type } from 'typebox';
import { principalOf } from '../auth/index.ts';
import { StatusError, type ApiServer } from '../http/index.ts';
import { parseSnapshot } from './create-request.ts';
import type { Snapshots } from './snapshots.ts';

const IdOrName = Type.Object({ id: Type.String({ description: 'Id or name' }) });
const tags = ['snapshots'];
const may = (permission: Permission) => ({ access: { requires: [permission] } });

/** wire: POST answers 200, DELETE 200 without a body, deactivate 204. */
export function snapshotRoutes(api: ApiServer, { snapshots }: { readonly snapshots: Snapshots }): void {
  api.post('/snapshots', {
    config: { ...may('write:snapshots'), looseBody: true }, schema: { tags, operationId: 'createSnapshot', body: CreateSnapshot, response: { 200: SnapshotDto } },
  }, async (request, reply) => {
    const parsed = parseSnapshot(request.body);
    if ('problem' in parsed) throw new StatusError(400, parsed.problem);
    return reply.code(200).send(await snapshots.create(principalOf(request).organizationId, parsed.value));
  });

  api.get('/snapshots', {
    schema: { tags, operationId: 'getAllSnapshots', querystring: ListSnapshotsQuery, response: { 200: PaginatedSnapshots } },
  }, async (request) => snapshots.list(principalOf(request).organizationId, request.query));

  api.get('/snapshots/:id', { schema: { tags, operationId: 'getSnapshot', params: IdOrName, response: { 200: SnapshotDto } } }, async (request) =>
    snapshots.get(principalOf(request).organizationId, request.params.id));

  api.delete('/snapshots/:id', { config: may('delete:snapshots'), schema: { tags, operationId: 'removeSnapshot', params: IdOrName } }, async (request, reply) => {
    await snapshots.remove(principalOf(request).organizationId, request.params.id);
    return reply.code(200).send();
  });

  api.post('/snapshots/:id/activate', {
    config: { ...may('write:snapshots'), looseBody: true }, schema: { tags, operationId: 'activateSnapshot', params: IdOrName, response: { 200: SnapshotDto } },
  }, async (request, reply) => reply.code(200).send(await snapshots.activate(principalOf(request).organizationId, request.params.id)));

  api.post('/snapshots/:id/deactivate', {
    config: { ...may('write:snapshots'), looseBody: true }, schema: { tags, operationId: 'deactivateSnapshot', params: IdOrName },
  }, async (request, reply) => {
    await snapshots.deactivate(principalOf(request).organizationId, request.params.id);
    return reply.code(204).send();
  });

  api.get('/admin/snapshots/can-cleanup-image', {
    config: { access: { admin: true } },
    schema: { tags: ['admin'], operationId: 'adminCanCleanupImage', querystring: Type.Object({ imageName: Type.String({ minLength: 1, maxLength: 1024 }) }), response: { 200: Type.Boolean() } },
  }, async (request, reply) => {
    const can = await snapshots.canCleanUpImage(request.query.imageName);
    // wire: bare text, not a JSON document.
    return reply.type('text/html; charset=utf-8').serializer(String).send(String(can) as never);
  });

  api.patch('/admin/snapshots/:id/general', {
    config: { access: { admin: true } },
    schema: { tags: ['admin'], operationId: 'adminSetSnapshotGeneralStatus', params: IdOrName, body: SetSnapshotGeneralStatus, response: { 200: SnapshotDto } },
  }, async (request) => snapshots.setGeneral(request.params.id, request.body.general));
}
