import { CreateSandbox, SandboxDto } from '@paddock/contract';
import { Type } from 'typebox';
import { principalOf } from '../../auth/index.ts';
import { StatusError, type ApiServer } from '../../http/index.ts';
import { parseCreate } from '../create-request.ts';
import { Timing } from '../timing.ts';
import { IdOrName, MAY_DELETE, MAY_WRITE, sandboxOperation, type SandboxServices } from './params.ts';

const SANDBOX_CREATE = { tags: ['sandbox'], operationId: 'createSandbox', body: CreateSandbox, response: { 200: SandboxDto } };
const SkipStart = Type.Object({ skipStart: Type.Optional(Type.Boolean({ description: 'Leave it stopped' })) });
const Force = Type.Object({ force: Type.Optional(Type.Boolean({ description: 'Kill at once' })) });

/** wire: all of them answer 200 with the sandbox. */
export function lifecycleRoutes(api: ApiServer, { lifecycle, toDto }: SandboxServices): void {
  api.post('/sandbox', { config: { ...MAY_WRITE, looseBody: true }, schema: SANDBOX_CREATE }, async (request, reply) => {
    const parsed = parseCreate(request.body);
    if ('problem' in parsed) throw new StatusError(parsed.status, parsed.problem);
    const timing = new Timing(reply.elapsedTime);
    timing.mark('accepted');
    const sandbox = await lifecycle.create(principalOf(request).organizationId, parsed.value, timing);
    return reply.code(200).header('server-timing', timing.header).send(toDto(sandbox));
  });

  api.post('/sandbox/:sandboxIdOrName/start', { config: MAY_WRITE, schema: { ...sandboxOperation('startSandbox'), params: IdOrName } }, async (request) =>
    toDto(await lifecycle.start(principalOf(request).organizationId, request.params.sandboxIdOrName)));

  api.post('/sandbox/:sandboxIdOrName/stop', { config: MAY_WRITE, schema: { ...sandboxOperation('stopSandbox'), params: IdOrName, querystring: Force } }, async (request) =>
    toDto(await lifecycle.stop(principalOf(request).organizationId, request.params.sandboxIdOrName, request.query.force === true)));

  api.post('/sandbox/:sandboxIdOrName/recover', { config: MAY_WRITE, schema: { ...sandboxOperation('recoverSandbox'), params: IdOrName, querystring: SkipStart } }, async (request) =>
    toDto(await lifecycle.recover(principalOf(request).organizationId, request.params.sandboxIdOrName, request.query.skipStart === true)));

  api.delete('/sandbox/:sandboxIdOrName', { config: MAY_DELETE, schema: { ...sandboxOperation('deleteSandbox'), params: IdOrName } }, async (request) =>
    toDto(await lifecycle.destroy(principalOf(request).organizationId, request.params.sandboxIdOrName)));
}
