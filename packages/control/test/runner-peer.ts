import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  RUNNER_ERRORS, type ImageSource, type InspectedImage, type RunnerErrorCode, type RunnerEvent, type RunnerImage, type RunnerPublication, type RunnerSandbox, type RunnerTransfer, type SandboxPatch, type SandboxSpec,
} from '@paddock/contract';

interface Held {
  spec: SandboxSpec;
  state: RunnerSandbox['state'];
  reason?: string;
}

/**
 * Speaks the runner's API over its unix socket with sandboxes that are nothing but records. It is there to force
 * interleavings that a real runner only has by accident: slow steps, failures on demand, death in the middle of a request.
 */
export class RunnerPeer {
  readonly sandboxes = new Map<string, Held>();
  readonly volumes = new Set<string>();
  /** `METHOD id` of every request that was begun, oldest first. */
  readonly requests: string[] = [];
  /** Delays in ms by method; a delayed request ends early when its client goes. */
  readonly delayMs: Record<string, number> = {};
  /** Code of the error the next request of a method is answered with. */
  readonly failNext: Record<string, RunnerErrorCode | undefined> = {};
  images: RunnerImage[] = [{ name: 'slim', state: 'ready', sizeBytes: 1 }];
  /** What `PUT /v1/images/:name` was given, by name. An image stays `preparing` until `settle` is called. */
  readonly sources = new Map<string, ImageSource>();
  /** Publications, running until `endPublication`, by image; with the repository they were asked for with. */
  readonly publications = new Map<string, { status: RunnerPublication; repository: string; username: string }>();
  /** Texts of images' logs; a log ends when its image is settled. */
  readonly logs = new Map<string, string>();
  /** Answers of registries, by reference; others are not found. */
  readonly registry = new Map<string, InspectedImage | RunnerErrorCode>();
  /** `reference user` of every inspection. */
  readonly inspections: string[] = [];
  /** Archives and restores, running until `endTransfer`, by sandbox; with the body they were asked for with. */
  readonly transfers = new Map<string, { status: RunnerTransfer; body: any }>();
  readonly #socketPath: string;
  readonly #streams = new Set<ServerResponse>();
  #server: Server | null = null;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  async start(): Promise<void> {
    mkdirSync(dirname(this.#socketPath), { recursive: true });
    rmSync(this.#socketPath, { force: true });
    this.#server = createServer((req, res) => void this.#serve(req, res));
    await new Promise<void>((resolve) => this.#server!.listen(this.#socketPath, resolve));
  }

  /** As by kill -9: connections break, requests in progress have no answer. What it held stays held. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    this.#streams.clear();
    server?.closeAllConnections();
    await new Promise((resolve) => (server ? server.close(resolve) : resolve(null)));
  }

  /** A sandbox ends by itself. @param tell whether the control plane hears of it */
  exit(id: string, reason: string, tell = true): void {
    const held = this.sandboxes.get(id);
    if (!held) return;
    held.state = 'stopped';
    held.reason = reason;
    if (tell) this.#publish({ type: 'sandbox.exited', id, reason });
  }

  /** An image's making ends. */
  settle(name: string, outcome: Partial<RunnerImage> & Pick<RunnerImage, 'state'>, tell = true): void {
    const image: RunnerImage = { name, sizeBytes: outcome.state === 'ready' ? 1_000 : null, ...outcome };
    this.images = [...this.images.filter((other) => other.name !== name), image];
    if (tell) this.#publish({ type: 'image', image });
  }

  /** An archive or a restore ends. A restored sandbox is there, stopped. */
  endTransfer(id: string, outcome: Partial<RunnerTransfer> & Pick<RunnerTransfer, 'state'>, tell = true): void {
    const transfer = this.transfers.get(id)!;
    transfer.status = { ...transfer.status, ...outcome };
    if (outcome.state === 'done' && transfer.status.kind === 'restore') this.sandboxes.set(id, { spec: transfer.body.spec, state: 'stopped' });
    if (tell) this.#publish({ type: 'transfer', transfer: transfer.status });
  }

  /** A publication ends. It is asked for anew when it failed. */
  endPublication(name: string, outcome: Pick<RunnerPublication, 'state' | 'reason' | 'transient'>, tell = true): void {
    const publication = this.publications.get(name)!;
    const published = outcome.state === 'done' ? { published: { reference: `${publication.repository}@sha256:${'d'.repeat(64)}`, sizeBytes: 10 } } : {};
    publication.status = { ...publication.status, ...outcome, ...published };
    if (tell) this.#publish({ type: 'publication', publication: publication.status });
  }

  count(request: string): number {
    return this.requests.filter((line) => line === request).length;
  }

  #publish(event: RunnerEvent): void {
    for (const stream of this.#streams) stream.write(`${JSON.stringify(event)}\n`);
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const method = req.method ?? '';
    const [, , kind, id = '', verb] = (req.url ?? '').split('/');
    if (kind === 'events') {
      this.#streams.add(res);
      res.writeHead(200);
      res.write(`${JSON.stringify({ type: 'hello', version: 'peer' })}\n`);
      return;
    }
    const body = await read(req);
    if (kind === 'images') return this.#image(method, decodeURIComponent(id), verb?.split('?')[0], body, res);
    if (kind === 'registry') return this.#inspect(body as { reference: string; auth: { username: string } | null }, res);
    if (kind === 'volumes') return this.#volume(method, id, res);
    if (kind === 'info') return reply(res, 200, { version: 'peer', cpus: 2, memoryGiB: 8, diskGiB: 50, diskUsedGiB: 1, sandboxesStarted: 0 });
    const action = verb === undefined ? method : verb.toUpperCase();
    if (id) this.requests.push(`${action} ${id}`);
    if (this.delayMs[action]) await sleep(this.delayMs[action]);
    if (!this.#server) return; // killed meanwhile
    const failure = this.failNext[action];
    if (failure) {
      this.failNext[action] = undefined;
      return reply(res, RUNNER_ERRORS[failure], { code: failure, message: `peer says ${failure}` });
    }
    if (!id) return reply(res, 200, { sandboxes: [...this.sandboxes].map(([held, { state, reason }]) => ({ id: held, state, reason })) });
    this.#act(action, id, body, res);
  }

  #image(method: string, name: string, verb: string | undefined, body: unknown, res: ServerResponse): void {
    if (!name) return reply(res, 200, { images: this.images });
    const image = this.images.find((other) => other.name === name);
    if (verb === 'publication') return this.#publication(name, image, body as { repository: string; auth: { username: string } }, res);
    if (verb !== 'log') this.requests.push(`${method} ${name}`);
    if (method === 'DELETE') {
      this.publications.delete(name);
      this.images = this.images.filter((other) => other.name !== name);
      return reply(res, 204, null);
    }
    if (method === 'PUT') {
      const failure = this.failNext.PUT_IMAGE;
      this.failNext.PUT_IMAGE = undefined;
      if (failure) return reply(res, RUNNER_ERRORS[failure], { code: failure, message: `peer says ${failure}` });
      this.sources.set(name, body as ImageSource);
      if (image?.state === 'ready') return reply(res, 202, image);
      this.publications.delete(name);
      const made: RunnerImage = { name, state: 'preparing', sizeBytes: null };
      this.images = [...this.images.filter((other) => other.name !== name), made];
      return reply(res, 202, made);
    }
    if (!image) return reply(res, 404, { code: 'IMAGE_NOT_FOUND', message: 'no such image' });
    if (verb === 'log') return void this.#log(name, res);
    reply(res, 200, image);
  }

  #publication(name: string, image: RunnerImage | undefined, { repository, auth }: { repository: string; auth: { username: string } }, res: ServerResponse): void {
    this.requests.push(`PUBLISH ${name}`);
    if (image?.state !== 'ready') return reply(res, 404, { code: 'IMAGE_NOT_FOUND', message: 'no such image' });
    const known = this.publications.get(name);
    const status: RunnerPublication = known && known.status.state !== 'failed' ? known.status : { name, state: 'running', doneBytes: 0 };
    this.publications.set(name, { status, repository, username: auth.username });
    reply(res, 202, status);
  }

  async #log(name: string, res: ServerResponse): Promise<void> {
    res.writeHead(200, { 'content-type': 'text/plain' });
    res.write(this.logs.get(name) ?? '');
    while (this.#server && this.images.find((other) => other.name === name)?.state === 'preparing') await sleep(10);
    res.end();
  }

  #inspect({ reference, auth }: { reference: string; auth: { username: string } | null }, res: ServerResponse): void {
    this.inspections.push(`${reference} ${auth?.username ?? 'anonymous'}`);
    const answer = this.registry.get(reference) ?? 'IMAGE_NOT_FOUND';
    if (typeof answer === 'string') return reply(res, RUNNER_ERRORS[answer], { code: answer, message: `peer says ${answer}` });
    reply(res, 200, answer);
  }

  #volume(method: string, id: string, res: ServerResponse): void {
    if (!id) return reply(res, 200, { volumes: [...this.volumes].map((held) => ({ id: held, driver: 'local' })) });
    const action = `${method} volume`;
    this.requests.push(`${action} ${id}`);
    const used = [...this.sandboxes.values()].some(({ spec }) => spec.volumes.some(({ volumeId }) => volumeId === id));
    const failure = this.failNext[action] ?? (method === 'DELETE' && used ? 'VOLUME_IN_USE' : undefined);
    this.failNext[action] = undefined;
    if (failure) return reply(res, RUNNER_ERRORS[failure], { code: failure, message: `peer says ${failure}` });
    if (method === 'PUT') this.volumes.add(id);
    else this.volumes.delete(id);
    reply(res, method === 'PUT' ? 200 : 204, method === 'PUT' ? { id, driver: 'local' } : null);
  }

  #act(action: string, id: string, body: unknown, res: ServerResponse): void {
    const held = this.sandboxes.get(id);
    if (action === 'PUT') {
      const image = this.images.find((other) => other.name === (body as SandboxSpec).image);
      const lacks = !image ? 'IMAGE_NOT_FOUND' : image.state === 'ready' ? null : 'IMAGE_NOT_READY';
      if (lacks) return reply(res, RUNNER_ERRORS[lacks], { code: lacks, message: `peer says ${lacks}` });
      this.sandboxes.set(id, { spec: body as SandboxSpec, state: 'started' });
      return reply(res, 200, { id, state: 'started', toolboxVersion: '1.2.3', trace: [] });
    }
    if (action === 'DELETE') {
      this.sandboxes.delete(id);
      return reply(res, 204, null);
    }
    if (action === 'ARCHIVE' || action === 'RESTORE') {
      const known = this.transfers.get(id)?.status;
      const status: RunnerTransfer = known?.kind === action.toLowerCase() && known.state !== 'failed' ? known : { id, kind: action.toLowerCase() as 'archive', state: 'running', doneBytes: 0 };
      this.transfers.set(id, { status, body });
      return reply(res, 202, status);
    }
    if (!held) return reply(res, 404, { code: 'SANDBOX_NOT_FOUND', message: 'no such sandbox' });
    if (action === 'STOP') held.state = 'stopped';
    if (action === 'PATCH') held.spec = { ...held.spec, ...(body as SandboxPatch) };
    reply(res, 200, { id, state: held.state, ...(held.reason ? { reason: held.reason } : {}) });
  }
}

async function read(req: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of req) text += String(chunk);
  return text ? JSON.parse(text) : undefined;
}

function reply(res: ServerResponse, status: number, body: unknown): void {
  if (body === null) return void res.writeHead(status).end();
  const text = JSON.stringify(body);
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text);
}
