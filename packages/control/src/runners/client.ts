import { Agent, request, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  ArchiveRequest, ImageSource, InspectedImage, PublicationRequest, RegistryAuth, RestoreRequest, RunnerErrorCode, RunnerImage, RunnerInfo, RunnerPublication, RunnerSandbox, RunnerTransfer,
  ObjectAccess, RunnerVolume, SandboxPatch, SandboxSpec, StartedSandbox, StopRequest, VolumeDriver,
} from '@paddock/contract';
import { parseSaid } from './parse-said.ts';

/**
 * `UNAVAILABLE`: no runner answered in the time given (it restarts, or is down). `TIMEOUT`: it took the request and did not
 * answer. Both leave the outcome open; every operation names the wanted end, so the caller asks again.
 */
export type RunnerFailureCode = RunnerErrorCode | 'UNAVAILABLE' | 'TIMEOUT';

export interface RunnerFailure {
  readonly code: RunnerFailureCode;
  /** In words, for the sandbox's errorReason. */
  readonly message: string;
}

export type RunnerResult<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: RunnerFailure };

export interface RunnerClient {
  info(): Promise<RunnerResult<RunnerInfo>>;
  list(): Promise<RunnerResult<readonly RunnerSandbox[]>>;
  get(id: string): Promise<RunnerResult<RunnerSandbox>>;
  images(): Promise<RunnerResult<readonly RunnerImage[]>>;
  image(name: string): Promise<RunnerResult<RunnerImage>>;
  putImage(name: string, source: ImageSource): Promise<RunnerResult<RunnerImage>>;
  removeImage(name: string): Promise<RunnerResult<null>>;
  publish(name: string, request: PublicationRequest): Promise<RunnerResult<RunnerPublication>>;
  /** What making the image printed, until the image is there or failed when `follow`; null: the runner knows none, or is away. */
  imageLog(name: string, follow: boolean, signal: AbortSignal): Promise<IncomingMessage | null>;
  inspect(reference: string, auth: RegistryAuth | null): Promise<RunnerResult<InspectedImage>>;
  archive(id: string, request: ArchiveRequest): Promise<RunnerResult<RunnerTransfer>>;
  restore(id: string, request: RestoreRequest): Promise<RunnerResult<RunnerTransfer>>;
  put(spec: SandboxSpec): Promise<RunnerResult<StartedSandbox>>;
  stop(id: string, how: StopRequest): Promise<RunnerResult<RunnerSandbox>>;
  patch(id: string, change: SandboxPatch): Promise<RunnerResult<RunnerSandbox>>;
  remove(id: string): Promise<RunnerResult<null>>;
  volumes(): Promise<RunnerResult<readonly RunnerVolume[]>>;
  /** @param access for volumes that are elsewhere */
  putVolume(id: string, driver: VolumeDriver, access: ObjectAccess | null): Promise<RunnerResult<RunnerVolume>>;
  removeVolume(id: string): Promise<RunnerResult<null>>;
  close(): void;
}

/** Deadlines of one attempt in ms. A registry may take a token, a redirect and two manifests to answer. A cold start takes 0.1 s, a graceful stop up to 10 s before the kill; the rest is margin. */
const DEADLINE_MS = { inspect: 60_000, image: 20_000, read: 5_000, put: 60_000, stop: 30_000, patch: 10_000, volume: 10_000, remove: 60_000 } as const;

/**
 * How long a request waits for a runner that is not there. A supervised restart takes well under a second; after ten the
 * reconciler's own schedule takes over, which is the better place to wait.
 */
const RESTART_GRACE_MS = 10_000;

/** First pause between two attempts; doubles up to a second. */
const RETRY_MS = 50;

/** Errors of a connection that say "nobody is there", or "it went away with the request". */
const AWAY = new Set(['ECONNREFUSED', 'ENOENT', 'ECONNRESET', 'EPIPE']);

export function createRunnerClient(socketPath: string): RunnerClient {
  // Keep-alive: connecting and an idle accept loop on the runner's side cost more than the request itself.
  const agent = new Agent({ keepAlive: true, keepAliveMsecs: 30_000, maxFreeSockets: 32 });
  let closed = false;

  async function ask<T>(method: string, path: string, body: unknown, deadlineMs: number): Promise<RunnerResult<T>> {
    const giveUpAt = Date.now() + RESTART_GRACE_MS;
    for (let pauseMs = RETRY_MS; ; pauseMs = Math.min(pauseMs * 2, 1_000)) {
      const outcome = await exchange(agent, socketPath, method, path, body, deadlineMs);
      if ('status' in outcome) return interpret<T>(outcome.status, outcome.text);
      if (outcome.error === 'TIMEOUT') return failed('TIMEOUT', `The runner did not answer ${method} ${path} within ${deadlineMs} ms`);
      if (!AWAY.has(outcome.error)) return failed('INTERNAL', `The runner's socket failed: ${outcome.error}`);
      if (closed || Date.now() + pauseMs > giveUpAt) return failed('UNAVAILABLE', 'The runner is not reachable');
      await sleep(pauseMs);
    }
  }

  const sandbox = (id: string) => `/v1/sandboxes/${encodeURIComponent(id)}`;
  const image = (name: string) => `/v1/images/${encodeURIComponent(name)}`;
  return {
    info: () => ask('GET', '/v1/info', undefined, DEADLINE_MS.read),
    list: async () => pluck(await ask<{ sandboxes: RunnerSandbox[] }>('GET', '/v1/sandboxes', undefined, DEADLINE_MS.read), 'sandboxes'),
    images: async () => pluck(await ask<{ images: RunnerImage[] }>('GET', '/v1/images', undefined, DEADLINE_MS.read), 'images'),
    image: (name) => ask('GET', image(name), undefined, DEADLINE_MS.read),
    putImage: (name, source) => ask('PUT', image(name), source, DEADLINE_MS.image),
    removeImage: (name) => ask('DELETE', image(name), undefined, DEADLINE_MS.remove),
    publish: (name, request) => ask('PUT', `${image(name)}/publication`, request, DEADLINE_MS.image),
    imageLog: (name, follow, signal) => openText(socketPath, `${image(name)}/log${follow ? '?follow=true' : ''}`, signal),
    inspect: (reference, auth) => ask('POST', '/v1/registry/inspect', { reference, auth }, DEADLINE_MS.inspect),
    get: (id) => ask('GET', sandbox(id), undefined, DEADLINE_MS.read),
    put: (spec) => ask('PUT', sandbox(spec.id), spec, DEADLINE_MS.put),
    stop: (id, how) => ask('POST', `${sandbox(id)}/stop`, how, DEADLINE_MS.stop),
    patch: (id, change) => ask('PATCH', sandbox(id), change, DEADLINE_MS.patch),
    archive: (id, request) => ask('PUT', `${sandbox(id)}/archive`, request, DEADLINE_MS.patch),
    restore: (id, request) => ask('PUT', `${sandbox(id)}/restore`, request, DEADLINE_MS.patch),
    remove: (id) => ask('DELETE', sandbox(id), undefined, DEADLINE_MS.remove),
    volumes: async () => pluck(await ask<{ volumes: RunnerVolume[] }>('GET', '/v1/volumes', undefined, DEADLINE_MS.read), 'volumes'),
    putVolume: (id, driver, access) => ask('PUT', `/v1/volumes/${id}`, { driver, access }, DEADLINE_MS.volume),
    removeVolume: (id) => ask('DELETE', `/v1/volumes/${id}`, undefined, DEADLINE_MS.remove),
    close() {
      closed = true;
      agent.destroy();
    },
  };
}

type Exchange = { readonly status: number; readonly text: string } | { readonly error: string };

function exchange(agent: Agent, socketPath: string, method: string, path: string, body: unknown, deadlineMs: number): Promise<Exchange> {
  return new Promise((resolve) => {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers = payload ? { 'content-type': 'application/json', 'content-length': payload.length } : {};
    const req = request({ agent, socketPath, method, path, headers }, (res) => {
      collect(res).then((text) => done({ status: res.statusCode ?? 0, text }), (error: NodeJS.ErrnoException) => done({ error: error.code ?? 'ECONNRESET' }));
    });
    const timer = setTimeout(() => {
      done({ error: 'TIMEOUT' });
      req.destroy();
    }, deadlineMs);
    const done = (outcome: Exchange) => {
      clearTimeout(timer);
      resolve(outcome);
    };
    req.on('error', (error: NodeJS.ErrnoException) => done({ error: error.code ?? error.message }));
    req.end(payload);
  });
}

/** A reply without a deadline, on a connection of its own: it may last as long as a build. */
function openText(socketPath: string, path: string, signal: AbortSignal): Promise<IncomingMessage | null> {
  return new Promise((resolve) => {
    const req = request({ socketPath, path, agent: false, signal }, (res) => {
      if (res.statusCode === 200) return resolve(res);
      res.resume();
      resolve(null);
    });
    req.on('error', () => resolve(null)); // away; the caller looks at the image's row and asks again
    req.end();
  });
}

async function collect(res: IncomingMessage): Promise<string> {
  res.setEncoding('utf8');
  let text = '';
  for await (const chunk of res) text += chunk;
  return text;
}

function interpret<T>(status: number, text: string): RunnerResult<T> {
  if (status === 204) return { ok: true, value: null as T };
  const body = parse(text);
  if (status >= 200 && status < 300 && body !== undefined) return { ok: true, value: body as T };
  const { code, message } = (body ?? {}) as { code?: RunnerErrorCode; message?: string };
  return failed(code ?? 'INTERNAL', message ?? `The runner answered ${status}`);
}

function parse(text: string): unknown {
  try {
    return parseSaid(text);
  } catch {
    return undefined; // reported as INTERNAL by the caller, with the status
  }
}

function failed(code: RunnerFailureCode, message: string): { ok: false; failure: RunnerFailure } {
  return { ok: false, failure: { code, message } };
}

function pluck<K extends string, T>(result: RunnerResult<Record<K, T>>, key: K): RunnerResult<T> {
  return result.ok ? { ok: true, value: result.value[key] } : result;
}
