import { CreateDockerRegistry, DockerRegistry, DockerRegistryConnection, RegistryPushAccess, TestDockerRegistry, UpdateDockerRegistry } from '@paddock/contract';
import { Type } from 'typebox';
import { principalOf, type Access } from '../auth/index.ts';
import type { ControlContext } from '../context.ts';
import { createClientOrigin, type ApiServer } from '../http/index.ts';

const WRITE: Access = { requires: ['write:registries'] };
const DELETE: Access = { requires: ['delete:registries'] };
const PUSH: Access = { anyOf: ['write:snapshots', 'write:sandboxes'] };
const Id = Type.Object({ id: Type.String({ description: 'Id of the registry' }) });

export function dockerRegistryRoutes(api: ApiServer, { dockerRegistries: registries, registry, config }: Pick<ControlContext, 'dockerRegistries' | 'registry' | 'config'>): void {
  const tags = ['docker-registry'];
  const originOf = createClientOrigin(config);

  api.post('/docker-registry', {
    config: { access: WRITE },
    schema: { tags, operationId: 'createRegistry', body: CreateDockerRegistry, response: { 201: DockerRegistry } },
  }, async (request, reply) => reply.code(201).send(await registries.create(principalOf(request).organizationId, request.body)));

  api.get('/docker-registry', {
    schema: { tags, operationId: 'listRegistries', response: { 200: Type.Array(DockerRegistry) } },
  }, async (request) => registries.list(principalOf(request).organizationId));

  api.get('/docker-registry/registry-push-access', {
    config: { access: PUSH },
    schema: { tags, operationId: 'getTransientPushAccess', querystring: Type.Object({ regionId: Type.Optional(Type.String({ maxLength: 255 })) }), response: { 200: RegistryPushAccess } },
  }, async (request) => registry.pushAccess(principalOf(request), originOf(request.raw), request.query.regionId));

  api.get('/docker-registry/:id', {
    schema: { tags, operationId: 'getRegistry', params: Id, response: { 200: DockerRegistry } },
  }, async (request) => registries.get(principalOf(request).organizationId, request.params.id));

  api.patch('/docker-registry/:id', {
    config: { access: WRITE },
    schema: { tags, operationId: 'updateRegistry', params: Id, body: UpdateDockerRegistry, response: { 200: DockerRegistry } },
  }, async (request) => registries.update(principalOf(request).organizationId, request.params.id, request.body));

  api.delete('/docker-registry/:id', {
    config: { access: DELETE },
    schema: { tags, operationId: 'deleteRegistry', params: Id, response: { 204: Type.Null() } },
  }, async (request, reply) => {
    await registries.delete(principalOf(request).organizationId, request.params.id);
    return reply.code(204).send(null);
  });

  // Ours, not of the protocol.
  api.post('/docker-registry/test-connection', {
    config: { access: WRITE },
    schema: { tags, operationId: 'testRegistryConnection', body: TestDockerRegistry, response: { 200: DockerRegistryConnection } },
  }, async (request) => registries.test(principalOf(request).organizationId, request.body));

  api.post('/docker-registry/:id/test-connection', {
    config: { access: WRITE },
    schema: { tags, operationId: 'testStoredRegistryConnection', params: Id, response: { 200: DockerRegistryConnection } },
  }, async (request) => registries.testStored(principalOf(request).organizationId, request.params.id));

  api.post('/admin/docker-registry/:id/set-default', {
    config: { access: { admin: true } },
    schema: { tags: ['admin'], operationId: 'adminSetDefaultRegistry', params: Id, response: { 200: DockerRegistry } },
  }, async (request) => registries.setDefault(request.params.id));
}
