import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, request, type IncomingHttpHeaders, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { layoutOf, toolboxSocket } from '@paddock/contract';
import { createGateway, GATEWAY_SERVER_OPTIONS, type GatewayBackend, type GatewayFailure, type GatewayPrincipal, type RoutedSandbox, type SignedPreview } from '../src/index.ts';

export const ID = '11111111-2222-4333-8444-555555555555';
export const OTHER = '99999999-2222-4333-8444-555555555555';
export const KEY = 'dtn_ours';
export const STRANGER = 'dtn_stranger';
export const TOKEN = 'preview-token-of-this-start-0001';
export const SIGNING_KEY = 'testsigningkey1234567890abcdefgh';

/** A control plane in memory: two organizations, two sandboxes, every field open to the test. */
export interface TestBackend extends GatewayBackend {
  readonly sandboxes: Map<string, RoutedSandbox>;
  readonly signed: Map<string, SignedPreview>;
  readonly touched: string[];
  readonly failures: GatewayFailure[];
  set(id: string, change: Partial<RoutedSandbox>): void;
}

export interface Rig {
  readonly port: number;
  readonly backend: TestBackend;
  readonly server: Server;
  readonly socketPath: string;
  /** Host header of a preview. */
  host(appPort: number | string, label?: string): string;
  send(path: string, options?: SendOptions): Promise<Reply>;
  /** Raw bytes in, everything that came until the end (or the idle time) out. */
  raw(text: string, options?: { idleMs?: number }): Promise<string>;
  upstream(listener: RequestListener): Server;
  close(): Promise<void>;
}

export interface SendOptions {
  readonly method?: string;
  readonly host?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Buffer;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: string[];
  readonly trailers: Record<string, string | undefined>;
  readonly body: Buffer;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

export interface RigOptions {
  readonly previewProtocol?: 'http' | 'https';
  readonly trustedProxies?: readonly string[];
  readonly onUpgrade?: (req: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** false: nobody listens at the sandbox's socket. */
  readonly listen?: boolean;
}

export async function startRig(listener: RequestListener, options: RigOptions = {}): Promise<Rig> {
  const dir = mkdtempSync(join(tmpdir(), 'gateway-'));
  const layout = layoutOf(join(dir, 'data'), dir);
  const backend = testBackend();
  const socketPath = toolboxSocket(layout, ID);
  mkdirSync(dirname(socketPath), { recursive: true });
  const upstreams: Server[] = [];
  const dialled = new Set<Socket>();
  const addUpstream = (handler: RequestListener): Server => {
    const upstream = createServer({ requestTimeout: 0 }, handler);
    upstream.on('connection', (socket: Socket) => { dialled.add(socket); socket.once('close', () => dialled.delete(socket)); });
    upstreams.push(upstream);
    return upstream;
  };
  if (options.listen !== false) {
    const upstream = addUpstream(listener);
    if (options.onUpgrade) upstream.on('upgrade', options.onUpgrade);
    await new Promise<void>((resolve) => upstream.listen(socketPath, resolve));
  }

  const api: RequestListener = (_req, res) => void res.writeHead(299, { 'x-api': '1' }).end('api');
  const server = createServer(GATEWAY_SERVER_OPTIONS, (req, res) => (gateway.matches(req) ? gateway.handle(req, res) : api(req, res as never)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const port = (server.address() as AddressInfo).port;
  const gateway = createGateway(
    { previewDomain: `localhost:${port}`, previewProtocol: options.previewProtocol ?? 'http', publicUrl: `http://localhost:${port}`, trustedProxies: options.trustedProxies ?? [] },
    layout, backend,
  );
  server.on('checkContinue', (req, res) => gateway.checkContinue(req, res));
  server.on('upgrade', (req, socket, head) => gateway.upgrade(req, socket, head));

  const rig: Rig = {
    port, backend, server, socketPath,
    host: (appPort, label = ID) => `${appPort}-${label}.localhost:${port}`,
    send: (path, sendOptions = {}) => send(port, path, sendOptions),
    raw: (text, rawOptions = {}) => raw(port, text, rawOptions.idleMs ?? 300),
    upstream: addUpstream,
    async close() {
      gateway.close();
      // Upgraded sockets are not the server's any more.
      for (const socket of dialled) socket.destroy();
      for (const one of [server, ...upstreams]) {
        one.closeAllConnections();
        await new Promise((resolve) => one.close(resolve));
      }
      rmSync(dir, { recursive: true, force: true });
    },
  };
  return rig;
}

function testBackend(): TestBackend {
  const listeners = new Set<(id: string) => void>();
  const base: RoutedSandbox = { id: ID, organizationId: 'org-a', state: 'started', public: false, authToken: TOKEN, signingKey: SIGNING_KEY };
  const sandboxes = new Map<string, RoutedSandbox>([
    [ID, base],
    [OTHER, { ...base, id: OTHER, organizationId: 'org-b', authToken: 'another-sandboxes-preview-token1' }],
  ]);
  const signed = new Map<string, SignedPreview>();
  const touched: string[] = [];
  const failures: GatewayFailure[] = [];
  const keys: Record<string, GatewayPrincipal> = { [KEY]: { organizationId: 'org-a' }, [STRANGER]: { organizationId: 'org-z' } };
  return {
    sandboxes, signed, touched, failures,
    cookieKey: Buffer.alloc(32, 7),
    sandbox: (id) => sandboxes.get(id) ?? null,
    authenticate: async (bearer) => keys[bearer] ?? null,
    canAccess: (principal, sandbox) => principal.organizationId === sandbox.organizationId,
    signedPreview: (token, port) => signed.get(`${port}:${token}`) ?? null,
    touch: (id) => void touched.push(id),
    onSandboxChanged(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    report: (failure) => void failures.push(failure),
    set(id, change) {
      sandboxes.set(id, { ...(sandboxes.get(id) as RoutedSandbox), ...change });
      for (const listener of listeners) listener(id);
    },
  };
}

export function send(port: number, path: string, options: SendOptions): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const req = request({
      host: '127.0.0.1', port, path, method: options.method ?? 'GET', agent: false, maxHeaderSize: 128 * 1024,
      headers: { ...(options.host === undefined ? {} : { host: options.host }), ...(options.body === undefined ? {} : { 'content-length': Buffer.byteLength(options.body) }), ...options.headers },
    }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('error', reject);
      res.on('end', () => {
        const body = Buffer.concat(chunks);
        resolve({
          status: res.statusCode ?? 0, headers: res.headers, rawHeaders: res.rawHeaders, trailers: res.trailers, body,
          text: body.toString(),
          get json() { return JSON.parse(body.toString()) as Record<string, unknown>; },
        });
      });
    });
    req.on('error', reject);
    req.end(options.body);
  });
}

export function raw(port: number, text: string, idleMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let out = '';
    socket.setTimeout(idleMs, () => { socket.destroy(); resolve(out); });
    socket.on('data', (chunk) => { out += chunk.toString('latin1'); });
    socket.on('end', () => resolve(out));
    socket.on('error', reject);
    socket.write(text, 'latin1');
  });
}

export function dial(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.once('error', reject);
  });
}

/** An upstream that tells what it got. */
export const echo: RequestListener = (req, res) => {
  const chunks: Buffer[] = [];
  req.on('data', (chunk: Buffer) => chunks.push(chunk));
  req.on('end', () => {
    res.writeHead(200, { 'content-type': 'application/json' });
    res.end(JSON.stringify({ method: req.method, url: req.url, headers: req.headers, rawHeaders: req.rawHeaders, body: Buffer.concat(chunks).toString(), trailers: req.trailers }));
  });
};

export interface Echo {
  method: string;
  url: string;
  headers: Record<string, string | undefined>;
  rawHeaders: string[];
  body: string;
  trailers: Record<string, string>;
}

export const echoed = (reply: Reply): Echo => reply.json as unknown as Echo;

export const auth = { authorization: `Bearer ${KEY}` };

export function later(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits for a condition, at most two seconds. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 2000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('condition not met within 2 s');
    await later(5);
  }
}
