import { SandboxDto, SshAccessDto, SshAccessValidationDto } from '@paddock/contract';
import { Type } from 'typebox';
import { principalOf } from '../../auth/index.ts';
import type { ApiServer } from '../../http/index.ts';
import { MAX_SSH_MINUTES } from '../ssh-accesses.ts';
import { IdOrName, MAY_WRITE, type SandboxServices } from './params.ts';

export function sshRoutes(api: ApiServer, { sshAccesses, toDto }: SandboxServices): void {
  api.post('/sandbox/:sandboxIdOrName/ssh-access', {
    config: { ...MAY_WRITE, looseBody: true },
    schema: {
      tags: ['sandbox'], operationId: 'createSshAccess', params: IdOrName, response: { 200: SshAccessDto },
      querystring: Type.Object({ expiresInMinutes: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: MAX_SSH_MINUTES, default: 60 })) }),
    },
  }, async (request, reply) =>
    reply.code(200).send(await sshAccesses.create(principalOf(request).organizationId, request.params.sandboxIdOrName, request.query.expiresInMinutes)));

  api.delete('/sandbox/:sandboxIdOrName/ssh-access', {
    config: MAY_WRITE,
    schema: {
      tags: ['sandbox'], operationId: 'revokeSshAccess', params: IdOrName, response: { 200: SandboxDto },
      querystring: Type.Object({ token: Type.Optional(Type.String()) }),
    },
  }, async (request) => toDto(await sshAccesses.revoke(principalOf(request).organizationId, request.params.sandboxIdOrName, request.query.token)));

  // wire: says no with `valid: false`, never with an error.
  api.get('/sandbox/ssh-access/validate', {
    schema: {
      tags: ['sandbox'], operationId: 'validateSshAccess', response: { 200: SshAccessValidationDto },
      querystring: Type.Object({ token: Type.Optional(Type.String()) }),
    },
  }, async (request) => sshAccesses.validate(principalOf(request).organizationId, request.query.token ?? ''));
}
