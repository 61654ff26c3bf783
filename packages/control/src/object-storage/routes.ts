import { StorageAccess } from '@paddock/contract';
import type { ControlContext } from '../context.ts';
import { principalOf } from '../auth/index.ts';
import type { ApiServer } from '../http/index.ts';
import { createClientOrigin } from '../http/client-origin.ts';

/** wire: what STS gives. */
const ACCESS_SECONDS = 3600;

export function objectStorageRoutes(api: ApiServer, { objects, config }: Pick<ControlContext, 'objects' | 'config'>): void {
  const originOf = createClientOrigin(config);

  api.get('/object-storage/push-access', {
    config: { access: { anyOf: ['write:snapshots', 'write:sandboxes'] } },
    schema: { tags: ['object-storage'], operationId: 'getPushAccess', response: { 200: StorageAccess } },
  }, async (request) => {
    const { organizationId } = principalOf(request);
    const scope = { prefix: `${organizationId}/`, actions: ['read', 'write', 'list'] as const, expiresInSeconds: ACCESS_SECONDS };
    const { accessKey, secretKey, sessionToken, endpoint, bucket, region } = await objects.accessFor(scope, originOf(request.raw));
    return { accessKey, secret: secretKey, sessionToken: sessionToken ?? '', storageUrl: endpoint, organizationId, bucket, region };
  });
}
