import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RUNNER_ERRORS, type RunnerErrorCode, type RunnerEvent, type RunnerSandbox, type SandboxPatch, type SandboxSpec } from '@paddock/contract';

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
  /** `METHOD id` of every request that was begun, oldest first. */
  readonly requests: string[] = [];
  /** Delays in ms by method; a delayed request ends early when its client goes. */
  readonly delayMs: Record<string, number> = {};
  /** Code of the error the next request of a method is answered with. */
  readonly failNext: Record<string, RunnerErrorCode | undefined> = {};
  images: { name: string; state: 'ready' | 'preparing' | 'failed'; sizeBytes: number | null }[] = [{ name: 'slim', state: 'ready', sizeBytes: 1 }];
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
    if (kind === 'images') return reply(res, 200, { images: this.images });
    if (kind === 'info') return reply(res, 200, { version: 'peer', cpus: 2, memoryGiB: 8, diskGiB: 50, diskUsedGiB: 1, sandboxesStarted: 0 });
    if (id) this.requests.push(`${verb === 'stop' ? 'STOP' : method} ${id}`);
    const action = verb === 'stop' ? 'STOP' : method;
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

  #act(action: string, id: string, body: unknown, res: ServerResponse): void {
    const held = this.sandboxes.get(id);
    if (action === 'PUT') {
      this.sandboxes.set(id, { spec: body as SandboxSpec, state: 'started' });
      return reply(res, 200, { id, state: 'started', toolboxVersion: '1.2.3', trace: [] });
    }
    if (action === 'DELETE') {
      this.sandboxes.delete(id);
      return reply(res, 204, null);
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
