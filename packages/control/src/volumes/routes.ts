import { CreateVolume, ListVolumesQuery, VolumeDto } from '@paddock/contract';
import { Type } from 'typebox';
import { principalOf, type Access } from '../auth/index.ts';
import type { ApiServer } from '../http/index.ts';
import type { Volumes } from './volumes.ts';

const READ: Access = { requires: ['read:volumes'] };
const WRITE: Access = { requires: ['write:volumes'] };
const DELETE: Access = { requires: ['delete:volumes'] };

export function volumeRoutes(api: ApiServer, { volumes }: { readonly volumes: Volumes }): void {
  const tags = ['volumes'];
  const Id = Type.Object({ volumeId: Type.String({ description: 'ID of the volume' }) });
  const Name = Type.Object({ name: Type.String({ description: 'Name of the volume' }) });

  api.get('/volumes', {
    config: { access: READ },
    schema: { tags, operationId: 'listVolumes', querystring: ListVolumesQuery, response: { 200: Type.Array(VolumeDto) } },
  }, async (request) => volumes.list(principalOf(request).organizationId, request.query.includeDeleted));

  api.post('/volumes', {
    config: { access: WRITE },
    schema: { tags, operationId: 'createVolume', body: CreateVolume, response: { 200: VolumeDto } },
  }, async (request) => volumes.create(principalOf(request).organizationId, request.body.name || null));

  api.get('/volumes/by-name/:name', {
    config: { access: READ },
    schema: { tags, operationId: 'getVolumeByName', params: Name, response: { 200: VolumeDto } },
  }, async (request) => volumes.getByName(principalOf(request).organizationId, request.params.name));

  api.get('/volumes/:volumeId', {
    config: { access: READ },
    schema: { tags, operationId: 'getVolume', params: Id, response: { 200: VolumeDto } },
  }, async (request) => volumes.get(principalOf(request).organizationId, request.params.volumeId));

  // wire: 200 without a body.
  api.delete('/volumes/:volumeId', {
    config: { access: DELETE },
    schema: { tags, operationId: 'deleteVolume', params: Id },
  }, async (request, reply) => {
    await volumes.delete(principalOf(request).organizationId, request.params.volumeId);
    return reply.code(200).send();
  });
}
