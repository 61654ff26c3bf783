import { FollowQuery, UrlDto } from '@paddock/contract';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Readable } from 'node:stream';
import { Type } from 'typebox';
import { principalOf } from '../auth/index.ts';
import { ApiError, StatusError, type ApiServer } from '../http/index.ts';
import type { BuildLogUrls, LogSubject } from './build-logs.ts';
import type { Snapshots } from './snapshots.ts';

export interface LogServices {
  readonly snapshots: Snapshots;
  readonly urls: BuildLogUrls;
  /** Image that was built for a sandbox; null: there is no such sandbox, or it was not built. */
  readonly imageOfSandbox: (id: string) => Promise<string | null>;
  /** The sandbox as its organization names it; throws when it has none. */
  readonly findSandbox: (organizationId: string, idOrName: string) => Promise<{ readonly id: string; readonly image: string; readonly built: boolean }>;
  readonly log: (image: string, follow: boolean, signal: AbortSignal) => AsyncGenerator<Buffer>;
}

const IdOrName = Type.Object({ id: Type.String({ description: 'Id or name' }) });
const SandboxIdOrName = Type.Object({ sandboxIdOrName: Type.String() });

/** wire: the log of a build ends when the build ends, also when it fails. */
export function logRoutes(api: ApiServer, { snapshots, urls, imageOfSandbox, findSandbox, log }: LogServices): void {
  async function ofSnapshot(organizationId: string, idOrName: string): Promise<{ readonly id: string; readonly image: string }> {
    const { id, image, build_info: build } = await snapshots.find(organizationId, idOrName);
    if (!build || image === null) throw new StatusError(404, `Snapshot with ID ${id} has no build info`);
    return { id, image };
  }

  async function ofSandbox(organizationId: string, idOrName: string): Promise<{ readonly id: string; readonly image: string }> {
    const { id, image, built } = await findSandbox(organizationId, idOrName);
    if (!built) throw new StatusError(404, `Sandbox with ID ${id} has no build info`);
    return { id, image };
  }

  function stream(request: FastifyRequest, reply: FastifyReply, image: string, type: string): FastifyReply {
    const follow = (request.query as { follow?: boolean }).follow === true;
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort());
    return reply.code(200).type(type).header('cache-control', 'no-store').send(Readable.from(withHeaders(reply, log(image, follow, gone.signal)), { objectMode: false }));
  }

  api.get('/snapshots/:id/build-logs-url', { schema: { tags: ['snapshots'], operationId: 'getSnapshotBuildLogsUrl', params: IdOrName, response: { 200: UrlDto } } }, async (request) =>
    ({ url: urls.urlOf({ kind: 'snapshot', id: (await ofSnapshot(principalOf(request).organizationId, request.params.id)).id }) }));

  api.get('/snapshots/:id/build-logs', {
    schema: { tags: ['snapshots'], operationId: 'getSnapshotBuildLogs', deprecated: true, params: IdOrName, querystring: FollowQuery },
  }, async (request, reply) => stream(request, reply, (await ofSnapshot(principalOf(request).organizationId, request.params.id)).image, 'application/octet-stream'));

  api.get('/sandbox/:sandboxIdOrName/build-logs-url', { schema: { tags: ['sandbox'], operationId: 'getBuildLogsUrl', params: SandboxIdOrName, response: { 200: UrlDto } } }, async (request) =>
    ({ url: urls.urlOf({ kind: 'sandbox', id: (await ofSandbox(principalOf(request).organizationId, request.params.sandboxIdOrName)).id }) }));

  api.get('/sandbox/:sandboxIdOrName/build-logs', {
    schema: { tags: ['sandbox'], operationId: 'getBuildLogs', deprecated: true, params: SandboxIdOrName, querystring: FollowQuery },
  }, async (request, reply) => stream(request, reply, (await ofSandbox(principalOf(request).organizationId, request.params.sandboxIdOrName)).image, 'application/octet-stream'));

  api.get('/build-logs/:token', {
    config: { access: 'public' }, schema: { hide: true, params: Type.Object({ token: Type.String() }), querystring: FollowQuery },
  }, async (request, reply) => {
    const subject = urls.open(request.params.token);
    const image = subject && (await imageOf(subject));
    if (!image) throw new ApiError('BUILD_LOG_NOT_FOUND');
    return stream(request, reply, image, 'text/plain; charset=utf-8');
  });

  async function imageOf({ kind, id }: LogSubject): Promise<string | null> {
    if (kind === 'sandbox') return imageOfSandbox(id);
    return (await snapshots.byId(id))?.image ?? null;
  }
}

/** The reply's head is sent at once: a client that waits for it sees that the log is open, although nothing was printed yet. */
async function* withHeaders(reply: FastifyReply, chunks: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  reply.raw.flushHeaders();
  yield* chunks;
}
