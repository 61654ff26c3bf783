import { ApiKeyList, ApiKeyResponse, CreateApiKey } from '@paddock/contract';
import { Type } from 'typebox';
import { principalOf, type Access } from '../auth/index.ts';
import type { ControlContext } from '../context.ts';
import { displayTextProblem } from '../http/display-text.ts';
import { ValidationError, type ApiServer } from '../http/index.ts';
import { ApiKeys } from './api-keys.ts';

const MANAGE: Access = { requires: ['manage:api_keys'] };
const Name = Type.Object({ name: Type.String() });
const UserAndName = Type.Object({ userId: Type.String(), name: Type.String() });

export function apiKeyRoutes(api: ApiServer, { db, auth }: Pick<ControlContext, 'db' | 'auth'>): void {
  const keys = new ApiKeys(db, auth);
  const tags = ['api-keys'];

  api.post('/api-keys', {
    config: { access: MANAGE },
    schema: { tags, operationId: 'createApiKey', body: CreateApiKey, response: { 201: ApiKeyResponse } },
  }, async (request, reply) => {
    const problem = displayTextProblem(request.body.name);
    if (problem) throw new ValidationError([`name ${problem}`]);
    return reply.code(201).send(await keys.create(principalOf(request), request.body));
  });

  api.get('/api-keys', {
    config: { access: MANAGE },
    schema: { tags, operationId: 'listApiKeys', response: { 200: Type.Array(ApiKeyList) } },
  }, async (request) => keys.list(principalOf(request)));

  api.get('/api-keys/current', {
    schema: { tags, operationId: 'getCurrentApiKey', response: { 200: ApiKeyList } },
  }, async (request) => {
    const principal = principalOf(request);
    return keys.get(principal, principal.keyName);
  });

  api.get('/api-keys/:name', {
    config: { access: MANAGE },
    schema: { tags, operationId: 'getApiKey', params: Name, response: { 200: ApiKeyList } },
  }, async (request) => keys.get(principalOf(request), request.params.name));

  api.delete('/api-keys/:name', {
    config: { access: MANAGE },
    schema: { tags, operationId: 'deleteApiKey', params: Name, response: { 204: Type.Null() } },
  }, async (request, reply) => {
    const principal = principalOf(request);
    await keys.delete(principal, principal.userId, request.params.name);
    return reply.code(204).send(null);
  });

  api.delete('/api-keys/:userId/:name', {
    config: { access: MANAGE },
    schema: { tags, operationId: 'deleteApiKeyForUser', params: UserAndName, response: { 204: Type.Null() } },
  }, async (request, reply) => {
    await keys.delete(principalOf(request), request.params.userId, request.params.name);
    return reply.code(204).send(null);
  });
}
