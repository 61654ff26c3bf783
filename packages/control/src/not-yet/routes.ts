import type { Permission } from '@paddock/contract';
import type { HTTPMethods } from 'fastify';
import type { Access } from '../auth/index.ts';
import { ApiError, type ApiServer } from '../http/index.ts';
import { NOT_YET } from './operations.ts';

/** Answers 501 for every operation of the protocol that nothing registered so far serves. Goes last. */
export function notYetRoutes(api: ApiServer): void {
  for (const [what, lines] of Object.entries(NOT_YET)) {
    for (const line of lines.trim().split('\n')) {
      const [method, url, operationId, access] = line.trim().split(' ') as [HTTPMethods, string, string, string?];
      if (api.hasOperation(method, url)) continue;
      api.route({
        method,
        url,
        config: { access: toAccess(access), looseBody: true },
        schema: { tags: ['not-yet'], operationId, summary: `${what} are not implemented yet: answers 501` },
        handler: async () => {
          throw new ApiError('NOT_IMPLEMENTED', { what });
        },
      });
    }
  }
}

function toAccess(text: string | undefined): Access {
  if (text === undefined) return {};
  if (text === 'public') return 'public';
  if (text === 'owner') return { owner: true };
  if (text === 'admin') return { admin: true };
  return { anyOf: text.split('|') as Permission[] };
}
