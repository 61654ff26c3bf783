import { HealthDto, ReadinessDto } from '@paddock/contract';
import type { ApiServer } from '../http/index.ts';
import type { Readiness } from './readiness.ts';

export function healthRoutes(api: ApiServer, { readiness }: { readonly readiness: Readiness }): void {
  api.get('/health', {
    config: { access: 'public' },
    schema: { tags: ['Health'], operationId: 'HealthController_live', response: { 200: HealthDto } },
  }, async () => ({ status: 'ok' }));

  api.get('/health/ready', {
    config: { access: { health: true } },
    schema: { tags: ['Health'], operationId: 'HealthController_check', response: { 200: ReadinessDto, 503: ReadinessDto } },
  }, async (_request, reply) => {
    const { ready, parts } = await readiness.report();
    const checks = Object.entries(parts).map(([part, problem]) => [part, problem === null ? { status: 'up' } : { status: 'down', message: problem }] as const);
    return reply.code(ready ? 200 : 503).send({
      status: ready ? 'ok' : 'error',
      info: Object.fromEntries(checks.filter(([, check]) => check.status === 'up')),
      error: Object.fromEntries(checks.filter(([, check]) => check.status === 'down')),
      details: Object.fromEntries(checks),
    });
  });
}
