import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
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

/** wire: Swagger UI at /api, the document at /api-json. */
export async function addOpenApiPages(app: FastifyInstance): Promise<void> {
  await app.register(swaggerUi, { routePrefix: '/api', logLevel: 'warn' });
  app.get('/api-json', { schema: { hide: true } }, async () => app.swagger());
}
