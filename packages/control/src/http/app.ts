import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance, type RawServerDefault } from 'fastify';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { addAuthentication } from '../auth/index.ts';
import type { ControlContext } from '../context.ts';
import { addBodyParsing } from './body.ts';
import { addCors } from './cors.ts';
import { replyWithError } from './error-reply.ts';
import { ApiError } from './errors.ts';
import { addOpenApi } from '../openapi/openapi.ts';
import { addOpenApiPages } from '../openapi/pages.ts';
import { addOperationIndex } from './operation-index.ts';
import { addOperationLog } from './operation-log.ts';
import { parseQuery } from './query.ts';
import { validatorCompiler } from './validation.ts';
import { API_VERSION } from './version.ts';

export type ApiServer = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>;

/** A domain adds its routes, paths relative to /api. */
export type Domain = (api: ApiServer, context: ControlContext) => void | Promise<void>;

/** Dockerfiles and environments fit with room to spare; files never travel through the API. */
const BODY_LIMIT_BYTES = 4 * 1024 * 1024;
/** Names may have 255 characters, each up to 12 bytes long when percent-encoded. */
const MAX_PARAM_LENGTH = 4096;

/** The HTTP API without a socket: `app.routing(req, res)` serves a request, `app.inject` tests one. */
export async function buildApp(context: ControlContext, domains: readonly Domain[]): Promise<ApiServer> {
  const app = Fastify({
    loggerInstance: context.log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT_BYTES,
    trustProxy: context.config.trustedProxies.length > 0 ? [...context.config.trustedProxies] : false,
    return503OnClosing: false,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: MAX_PARAM_LENGTH, querystringParser: parseQuery },
    frameworkErrors: (error, request, reply) => {
      void reply.header('x-daytona-api-version', API_VERSION);
      replyWithError(error, request, reply);
    },
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.setValidatorCompiler(validatorCompiler as never);
  // Replies are built by typed mappers; a second shape check at run time could only turn a good answer into a 500.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler((error, request, reply) => replyWithError(error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    replyWithError(new ApiError('UNKNOWN_ROUTE', { method: request.method, path: request.raw.url?.split('?')[0] ?? request.url }), request, reply);
  });
  app.addHook('onRequest', async (_request, reply) => void reply.header('x-daytona-api-version', API_VERSION));
  app.addHook('onRoute', (route) => {
    if (route.config?.looseBody) route.validatorCompiler = ((part) => (part.httpPart === 'body' ? () => true : validatorCompiler(part as never))) as typeof route.validatorCompiler;
  });
  addCors(app);
  addBodyParsing(app);
  addOperationLog(app);
  addOperationIndex(app);
  await addOpenApi(app as unknown as FastifyInstance, context.config.publicUrl);

  app.get('/', { schema: { hide: true } }, async (_request, reply) => reply.type('text/plain; charset=utf-8').send(
    `Paddock. The API is at ${context.config.publicUrl}/api; point an SDK at it with DAYTONA_API_URL and DAYTONA_API_KEY.\n`));

  await app.register(async (scope) => {
    const api = scope.withTypeProvider<TypeBoxTypeProvider>() as unknown as ApiServer;
    addAuthentication(api, context.auth);
    for (const domain of domains) await domain(api, context);
  }, { prefix: '/api' });
  addOpenApiPages(app as unknown as FastifyInstance);
  await app.ready();
  return app as unknown as ApiServer;
}
