import http from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { badRequest, ToolboxError } from '../errors.ts';

/**
 * `ANY /proxy/{port}/…`: hands the request to a server inside the sandbox, path and query as they came, `Host` being
 * `localhost:{port}`. Bodies stream both ways. Not a general proxy: it only ever dials loopback.
 */

/** Idle connections are closed before the servers they lead to (Node's own closes after 5 s) do it under a request. */
const agent = new http.Agent({ keepAlive: true, keepAliveMsecs: 1000, maxFreeSockets: 16, scheduling: 'lifo', timeout: 4_000 });

/** Loopback by both families: many servers listen on one of them only. */
const ADDRESSES = ['127.0.0.1', '::1'] as const;

/** Headers that belong to one connection. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade',
]);

interface Target {
  readonly port: number;
  /** Path and query, never empty. */
  readonly path: string;
}

function targetOf(url: string): Target {
  const [, port, rest] = /^\/proxy\/([^/?]*)([^]*)$/.exec(url)!;
  // Read once as a plain decimal: `02280` and `+2280` are refused, so what was authorised is what is dialled.
  const number = /^[1-9]\d{0,4}$/.test(port!) ? Number(port) : 0;
  if (number < 1 || number > 65_535) throw badRequest(`invalid port: ${port!.slice(0, 50)}`);
  return { port: number, path: rest!.startsWith('/') ? rest! : `/${rest!}` };
}

const unreachable = (port: number, reason: string): ToolboxError => new ToolboxError(502, null, `bad gateway: nothing answers on port ${port} (${reason})`);

export async function request(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const target = targetOf(incoming.url!);
  const hasBody = incoming.headers['content-length'] !== undefined || incoming.headers['transfer-encoding'] !== undefined;
  let reason = '';
  for (const host of ADDRESSES) {
    // A connection that was closed while idle shows at its first use; without a body nothing was lost and it is tried anew.
    for (let attempt = 0; attempt < 3; attempt++) {
      const result = await forward(incoming, outgoing, target, host, hasBody);
      if (result === 'done') return;
      reason = result.reason;
      if (result.refused) break;
      if (!result.stale || hasBody) throw unreachable(target.port, reason);
    }
  }
  throw unreachable(target.port, reason);
}

type Result = 'done' | { readonly reason: string; readonly refused: boolean; readonly stale: boolean };

function forward(incoming: IncomingMessage, outgoing: ServerResponse, target: Target, host: string, hasBody: boolean): Promise<Result> {
  return new Promise((resolve) => {
    const headers = passedOn(incoming.rawHeaders);
    headers.push('Host', `localhost:${target.port}`);
    if (incoming.headers['transfer-encoding'] !== undefined) headers.push('Transfer-Encoding', 'chunked');
    const upstream = http.request({ host, port: target.port, method: incoming.method!, path: target.path, headers, agent, setHost: false } as http.RequestOptions);
    let answered = false;
    upstream.once('response', (reply) => {
      answered = true;
      outgoing.writeHead(reply.statusCode!, reply.statusMessage, passedOn(reply.rawHeaders));
      outgoing.flushHeaders();
      reply.pipe(outgoing);
      // A reply cut short must look so to the client.
      reply.once('error', () => outgoing.destroy());
      reply.once('aborted', () => outgoing.destroy());
      resolve('done');
    });
    upstream.on('information', (info) => info.statusCode === 103 && outgoing.writeEarlyHints?.(info.headers as never));
    upstream.on('error', (error: NodeJS.ErrnoException) => {
      if (answered) return void outgoing.destroy();
      const refused = error.code === 'ECONNREFUSED' || error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT';
      resolve({ reason: error.code ?? error.message, refused, stale: upstream.reusedSocket });
    });
    outgoing.once('close', () => {
      if (!outgoing.writableFinished) upstream.destroy();
    });
    if (!hasBody) return void upstream.end();
    // Data flows once there is somebody to take it: a refused connection leaves the body for the other address.
    upstream.once('socket', (socket) => {
      const start = (): void => void incoming.pipe(upstream);
      if (socket.connecting) socket.once('connect', start);
      else start();
    });
  });
}

/** Raw name and value pairs without those of the hop and without Host, order and case kept, repeated ones repeated. */
function passedOn(raw: readonly string[]): string[] {
  const named = new Set<string>();
  for (let at = 0; at < raw.length; at += 2) {
    if (raw[at]!.toLowerCase() === 'connection') for (const name of raw[at + 1]!.split(',')) named.add(name.trim().toLowerCase());
  }
  const kept: string[] = [];
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    if (!HOP_BY_HOP.has(name) && !named.has(name) && name !== 'host') kept.push(raw[at]!, raw[at + 1]!);
  }
  return kept;
}

/** WebSocket and every other protocol a request may switch to: the head goes on as it came, then bytes flow both ways. */
export async function upgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  const target = targetOf(incoming.url!);
  const upstream = await dial(target.port);
  const lines = [`${incoming.method} ${target.path} HTTP/1.1`, `Host: localhost:${target.port}`];
  for (let at = 0; at < incoming.rawHeaders.length; at += 2) {
    if (incoming.rawHeaders[at]!.toLowerCase() !== 'host') lines.push(`${incoming.rawHeaders[at]}: ${incoming.rawHeaders[at + 1]}`);
  }
  upstream.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  if (head.length > 0) upstream.write(head);
  upstream.on('error', () => socket.destroy());
  socket.on('error', () => upstream.destroy());
  socket.on('close', () => upstream.destroy());
  upstream.on('close', () => socket.destroySoon?.() ?? socket.destroy());
  upstream.pipe(socket);
  socket.pipe(upstream);
}

declare module 'node:stream' {
  interface Duplex {
    destroySoon?(): void;
  }
}

async function dial(port: number): Promise<net.Socket> {
  let reason = '';
  for (const host of ADDRESSES) {
    const socket = net.connect({ host, port, noDelay: true });
    const failed = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
      socket.once('connect', () => resolve(null));
      socket.once('error', resolve);
    });
    if (!failed) return socket;
    reason = failed.code ?? failed.message;
  }
  throw unreachable(port, reason);
}
