/** The runner's HTTP interface on its unix socket: parse, call, serialise. */
import { chmodSync, chownSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { RUNNER_ERRORS, type RunnerInfo } from '@paddock/contract';
import type { Transfers } from '../archives/transfers.ts';
import type { Sandboxes } from '../lifecycle/sandboxes.ts';
import { RunnerError } from '../runner-error.ts';
import type { EventStreams } from './events.ts';
import { imageRoutes, type ImageRouteParts } from './image-routes.ts';
import type { Route } from './route.ts';
import type { Volumes } from '../volumes/index.ts';
import { parseArchive, parseRestore } from './archive-bodies.ts';
import { parseId, parsePatch, parseSpec, parseStop, parseVolume } from './validate.ts';

export interface ServerParts extends ImageRouteParts {
  readonly sandboxes: Pick<Sandboxes, 'list' | 'get' | 'put' | 'stop' | 'patch' | 'remove'>;
  readonly transfers: Pick<Transfers, 'archive' | 'restore'>;
  readonly volumes: Pick<Volumes, 'list' | 'put' | 'remove'>;
  readonly events: EventStreams;
  readonly info: () => Promise<RunnerInfo>;
  readonly version: string;
  readonly log: Logger;
}

/** Env of a sandbox is the largest part of any body: the kernel takes about 2 MB of it in all. */
const MAX_BODY_BYTES = 4 * 1_048_576;

function routes({ sandboxes, transfers, volumes, events, info, images, publications, inspect, version }: ServerParts): readonly Route[] {
  const one = /^\/v1\/sandboxes\/([^/]+)$/;
  return [
    { method: 'GET', path: /^\/v1\/info$/, run: info },
    ...imageRoutes({ images, publications, inspect }),
    { method: 'GET', path: /^\/v1\/sandboxes$/, run: () => ({ sandboxes: sandboxes.list() }) },
    { method: 'GET', path: one, run: ({ id }) => sandboxes.get(id) },
    { method: 'PUT', path: one, operation: 'put', run: ({ id, body }) => sandboxes.put(parseSpec(body, id)) },
    { method: 'POST', path: /^\/v1\/sandboxes\/([^/]+)\/stop$/, operation: 'stop', run: ({ id, body }) => sandboxes.stop(id, parseStop(body)) },
    { method: 'PATCH', path: one, operation: 'patch', run: ({ id, body }) => sandboxes.patch(id, parsePatch(body)) },
    { method: 'DELETE', path: one, operation: 'remove', run: ({ id }) => sandboxes.remove(id) },
    { method: 'PUT', path: /^\/v1\/sandboxes\/([^/]+)\/archive$/, operation: 'archive', status: 202, run: ({ id, body }) => transfers.archive(id, parseArchive(body)) },
    { method: 'PUT', path: /^\/v1\/sandboxes\/([^/]+)\/restore$/, operation: 'restore', status: 202, run: ({ id, body }) => transfers.restore(id, parseRestore(body, id)) },
    { method: 'GET', path: /^\/v1\/volumes$/, run: async () => ({ volumes: await volumes.list() }) },
    { method: 'PUT', path: /^\/v1\/volumes\/([^/]+)$/, operation: 'put volume', run: ({ id, body }) => {
      const { driver, access } = parseVolume(body);
      return volumes.put(id, driver, access);
    } },
    { method: 'DELETE', path: /^\/v1\/volumes\/([^/]+)$/, operation: 'remove volume', run: ({ id }) => volumes.remove(id) },
    {
      method: 'GET', path: /^\/v1\/events$/,
      run: ({ response }) => {
        events.add(response, { type: 'hello', version });
        return null;
      },
    },
  ];
}

export function runnerServer(parts: ServerParts): Server {
  const table = routes(parts);
  return createServer({ keepAliveTimeout: 70_000, requestTimeout: 30_000 }, (request, response) => {
    void answer(table, parts.log, request, response);
  });
}

/**
 * Listens at `path`, connectable by root and the group. A socket left by an earlier runner is replaced.
 * @param gid group of the control plane
 */
export async function listenAt(server: Server, path: string, gid: number): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
  chownSync(path, 0, gid);
  chmodSync(path, 0o660);
}

async function answer(table: readonly Route[], log: Logger, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const since = performance.now();
  const [path = '/', search = ''] = (request.url ?? '/').split('?', 2);
  const matching = table.filter((candidate) => candidate.path.test(path));
  const route = matching.find((candidate) => candidate.method === request.method);
  let id = '';
  const done = (outcome: string, error?: unknown): void => {
    if (route?.operation === undefined && error === undefined) return;
    const fields = { op: route?.operation ?? 'read', id, outcome, ms: Math.round(performance.now() - since) };
    if (outcome === 'INTERNAL') log.error({ ...fields, err: error }, 'operation failed');
    else if (error !== undefined) log.warn({ ...fields, message: (error as Error).message }, 'operation refused');
    else log.info(fields, 'operation');
  };
  try {
    if (route === undefined) {
      const status = matching.length > 0 ? 405 : 404;
      return send(response, status, { code: 'INVALID_SPEC', message: `No route ${request.method} ${path}` });
    }
    const segment = route.path.exec(path)?.[1];
    if (segment !== undefined) id = (route.parse ?? parseId)(decodeURIComponent(segment));
    const body = await readJson(request);
    const result = await route.run({ id, query: new URLSearchParams(search), body, request, response });
    done('ok');
    if (result === null) return;
    if (result === undefined) return void response.writeHead(204).end();
    send(response, route.status ?? 200, result);
  } catch (error) {
    const code = error instanceof RunnerError ? error.code : error instanceof URIError ? 'INVALID_SPEC' : 'INTERNAL';
    done(code, error);
    if (response.headersSent) return void response.destroy();
    send(response, RUNNER_ERRORS[code], { code, message: (error as Error).message });
  }
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body);
}

/** @returns undefined when there is no body */
async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new RunnerError('INVALID_SPEC', `The body is larger than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  if (size === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new RunnerError('INVALID_SPEC', 'The body is not JSON');
  }
}
