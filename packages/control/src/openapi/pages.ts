import { fstatSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { FastifyInstance } from 'fastify';

/** Files of Swagger UI that its page loads. */
const ASSETS: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
};

/**
 * Opened when the program is loaded, read when somebody asks: by then the process may be a user that cannot enter the
 * directory any more, and a megabyte of page script is not worth keeping in memory.
 */
const descriptors: Readonly<Record<string, number>> = Object.fromEntries(Object.keys(ASSETS).map((name) => [name, openSync(join(assetDir(), name), 'r')]));

function assetDir(): string {
  return join(dirname(createRequire(import.meta.url).resolve('@fastify/swagger-ui/package.json')), 'static');
}

const PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Paddock API</title><link rel="stylesheet" href="/api/swagger-ui/swagger-ui.css"></head>
<body>
<div id="swagger-ui"></div>
<script src="/api/swagger-ui/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({ url: '/api-json', dom_id: '#swagger-ui', persistAuthorization: false });</script>
</body>
</html>
`;

/** wire: Swagger UI at /api, the document at /api-json. */
export function addOpenApiPages(app: FastifyInstance): void {
  app.get('/api', { schema: { hide: true } }, async (_request, reply) => reply.type('text/html; charset=utf-8').send(PAGE));
  app.get('/api-json', { schema: { hide: true } }, async () => app.swagger());
  for (const [name, type] of Object.entries(ASSETS)) {
    app.get(`/api/swagger-ui/${name}`, { schema: { hide: true } }, async (_request, reply) => reply.type(type).header('cache-control', 'public, max-age=3600').send(readWhole(descriptors[name]!)));
  }
}

/** From the beginning, whatever was read before. */
function readWhole(descriptor: number): Buffer {
  const content = Buffer.alloc(fstatSync(descriptor).size);
  readSync(descriptor, content, 0, content.length, 0);
  return content;
}
