import type { FastifyInstance } from 'fastify';

/** Headers of ours a page's script may read. */
const EXPOSED = 'X-Daytona-Api-Version, Retry-After';
/** One day: browsers cap it themselves; the answer never changes. */
const MAX_AGE_SECONDS = '86400';

/**
 * wire: any origin is reflected, without credentials. That opens nothing: the API only knows bearer tokens, which a
 * foreign page does not have.
 */
export function addCors(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    const { origin } = request.headers;
    if (origin === undefined) return;
    void reply.header('access-control-allow-origin', origin).header('vary', 'Origin').header('access-control-expose-headers', EXPOSED);
    if (request.method !== 'OPTIONS') return;
    const asked = request.headers['access-control-request-headers'];
    if (asked !== undefined) void reply.header('access-control-allow-headers', asked);
    void reply.header('access-control-allow-methods', 'GET,HEAD,PUT,PATCH,POST,DELETE').header('access-control-max-age', MAX_AGE_SECONDS);
  });
  app.options('/*', { config: { access: 'public' }, schema: { hide: true } }, async (_request, reply) => reply.code(204).send());
}
