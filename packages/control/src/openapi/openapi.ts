import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { PADDOCK_VERSION } from '../http/version.ts';

/** Describes every route registered after it. */
export async function addOpenApi(app: FastifyInstance, publicUrl: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.0.3',
      info: { title: 'Paddock', description: 'Control plane. Speaks the Daytona wire protocol.', version: PADDOCK_VERSION, license: { name: 'Apache-2.0' } },
      servers: [{ url: publicUrl }],
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
    },
    transform: ({ schema, url, route }) => ({
      schema: { ...schema, ...(route.config?.access === 'public' ? {} : { security: [{ bearer: [] }] }) },
      url,
    }),
  });
}
