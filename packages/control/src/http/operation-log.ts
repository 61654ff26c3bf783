import type { FastifyInstance } from 'fastify';

const READS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** One line for each request: route pattern (never the URL: its query may hold a token), outcome, duration. */
export function addOperationLog(app: FastifyInstance): void {
  app.addHook('onResponse', async (request, reply) => {
    const user = request.principal?.kind === 'api-key' ? request.principal : null;
    const event = {
      method: request.method,
      route: request.routeOptions.url ?? null,
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime * 10) / 10,
      ...(user ? { organizationId: user.organizationId, userId: user.userId } : {}),
      source: request.headers['x-daytona-source'],
    };
    request.log[levelOf(request.method, reply.statusCode)](event, 'request');
  });
}

function levelOf(method: string, status: number): 'debug' | 'info' | 'warn' {
  if (status >= 500 && status !== 501) return 'warn';
  return READS.has(method) ? 'debug' : 'info';
}
