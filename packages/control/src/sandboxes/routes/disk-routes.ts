import { CreateSandboxSnapshot, ResizeSandbox, SandboxDto } from '@paddock/contract';
import { Type } from 'typebox';
import { principalOf } from '../../auth/index.ts';
import type { ApiServer } from '../../http/index.ts';
import { IdOrName, MAY_WRITE, sandboxOperation, type SandboxServices } from './params.ts';

const Id = Type.Object({ sandboxId: Type.String() });

/** wire: all of them answer 200 with the sandbox. */
export function diskRoutes(api: ApiServer, { lifecycle, diskOperations, toDto }: SandboxServices): void {
  api.post('/sandbox/:sandboxIdOrName/resize', {
    config: MAY_WRITE, schema: { ...sandboxOperation('resizeSandbox'), params: IdOrName, body: ResizeSandbox },
  }, async (request) => toDto(await diskOperations.resize(principalOf(request).organizationId, request.params.sandboxIdOrName, request.body)));

  api.post('/sandbox/:sandboxIdOrName/archive', { config: MAY_WRITE, schema: { ...sandboxOperation('archiveSandbox'), params: IdOrName } }, async (request) =>
    toDto(await diskOperations.archive(principalOf(request).organizationId, request.params.sandboxIdOrName)));

  api.post('/sandbox/:sandboxIdOrName/backup', {
    config: MAY_WRITE, schema: { ...sandboxOperation('createBackup'), deprecated: true, params: IdOrName },
  }, async (request) => toDto(await diskOperations.backup(principalOf(request).organizationId, request.params.sandboxIdOrName)));

  api.post('/sandbox/:sandboxIdOrName/snapshot', {
    config: MAY_WRITE, schema: { ...sandboxOperation('createSandboxSnapshot'), params: IdOrName, body: CreateSandboxSnapshot },
  }, async (request) => {
    const { name, includeMemory = false } = request.body;
    return toDto(await diskOperations.snapshot(principalOf(request).organizationId, request.params.sandboxIdOrName, name, includeMemory));
  });

  api.post('/admin/sandbox/:sandboxId/recover', {
    config: { access: { admin: true } },
    schema: { tags: ['admin'], operationId: 'adminRecoverSandbox', params: Id, response: { 200: SandboxDto } },
  }, async (request) => toDto(await lifecycle.recover(null, request.params.sandboxId)));
}
