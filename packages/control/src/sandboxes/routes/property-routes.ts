import { PortPreviewUrl, SandboxLabels, SignedPortPreviewUrl, UpdateSandboxNetworkSettings } from '@paddock/contract';
import { Type } from 'typebox';
import { principalOf } from '../../auth/index.ts';
import type { ApiServer } from '../../http/index.ts';
import { IdOrName, MAY_WRITE, sandboxOperation, type SandboxServices } from './params.ts';

const text = Type.String();
const Empty = Type.Literal('');
const AndValue = Type.Object({ sandboxIdOrName: text, value: text });
const AndPort = Type.Object({ sandboxIdOrName: text, port: text });
const AndToken = Type.Object({ sandboxIdOrName: text, port: text, token: text });

export function propertyRoutes(api: ApiServer, { lifecycle, properties, previews, activity, toDto }: SandboxServices): void {
  // wire: answers with the whole sandbox although a labels object is documented; clients read `.labels` of either.
  api.put('/sandbox/:sandboxIdOrName/labels', {
    config: { ...MAY_WRITE, looseBody: true }, schema: { ...sandboxOperation('replaceLabels'), params: IdOrName, body: SandboxLabels },
  }, async (request) => toDto(await properties.setLabels(principalOf(request).organizationId, request.params.sandboxIdOrName, request.body)));

  api.post('/sandbox/:sandboxIdOrName/network-settings', {
    config: { ...MAY_WRITE, keepNulls: true, looseBody: true },
    schema: { ...sandboxOperation('updateNetworkSettings'), params: IdOrName, body: UpdateSandboxNetworkSettings },
  }, async (request) => toDto(await properties.setNetwork(principalOf(request).organizationId, request.params.sandboxIdOrName, request.body)));

  const setters = [
    ['public', 'updatePublicStatus', 'setPublic'],
    ['autostop', 'setAutostopInterval', 'setAutoStop'],
    ['autoarchive', 'setAutoArchiveInterval', 'setAutoArchive'],
    ['autodelete', 'setAutoDeleteInterval', 'setAutoDelete'],
    ['ttl', 'setTtl', 'setTtl'],
  ] as const;
  for (const [path, operationId, method] of setters) {
    api.post(`/sandbox/:sandboxIdOrName/${path}/:value`, { config: MAY_WRITE, schema: { ...sandboxOperation(operationId), params: AndValue } }, async (request) => {
      const { sandboxIdOrName, value } = request.params as { sandboxIdOrName: string; value: string };
      return toDto(await properties[method](principalOf(request).organizationId, sandboxIdOrName, value));
    });
  }

  api.post('/sandbox/:sandboxIdOrName/last-activity', {
    config: { looseBody: true }, schema: { tags: ['sandbox'], operationId: 'updateLastActivity', params: IdOrName, response: { 201: Empty } },
  }, async (request, reply) => {
    const { id } = await lifecycle.find(principalOf(request).organizationId, request.params.sandboxIdOrName);
    activity.touch(id);
    return reply.code(201).send('');
  });

  api.get('/sandbox/:sandboxIdOrName/ports/:port/preview-url', {
    schema: { tags: ['sandbox'], operationId: 'getPortPreviewUrl', params: AndPort, response: { 200: PortPreviewUrl } },
  }, async (request) => previews.standard(principalOf(request).organizationId, request.params.sandboxIdOrName, request.params.port));

  api.get('/sandbox/:sandboxIdOrName/ports/:port/signed-preview-url', {
    schema: {
      tags: ['sandbox'], operationId: 'getSignedPortPreviewUrl', params: AndPort, response: { 200: SignedPortPreviewUrl },
      querystring: Type.Object({ expiresInSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400, default: 60 })) }),
    },
  }, async (request) => previews.signed(principalOf(request).organizationId, request.params.sandboxIdOrName, request.params.port, request.query.expiresInSeconds));

  api.post('/sandbox/:sandboxIdOrName/ports/:port/signed-preview-url/:token/expire', {
    schema: { tags: ['sandbox'], operationId: 'expireSignedPortPreviewUrl', params: AndToken, response: { 200: Empty } },
  }, async (request, reply) => {
    await previews.expire(principalOf(request).organizationId, request.params.sandboxIdOrName, request.params.port, request.params.token);
    return reply.code(200).send('');
  });

  // wire: the key as bare text; clients use the body verbatim.
  api.get('/sandbox/:sandboxIdOrName/signing-key', {
    schema: { tags: ['sandbox'], operationId: 'getSandboxSigningKey', params: IdOrName, response: { 200: text } },
  }, async (request, reply) =>
    reply.type('text/plain; charset=utf-8').serializer(String).send(await properties.signingKey(principalOf(request).organizationId, request.params.sandboxIdOrName)));

  api.post('/sandbox/:sandboxIdOrName/signing-key/rotate', {
    config: MAY_WRITE, schema: { tags: ['sandbox'], operationId: 'rotateSigningKey', params: IdOrName, response: { 200: text } },
  }, async (request, reply) =>
    reply.type('text/plain; charset=utf-8').serializer(String).send(await properties.rotateSigningKey(principalOf(request).organizationId, request.params.sandboxIdOrName)));
}
