import http from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
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

/** Nobody takes connections at this address; nothing was sent. */
const isRefusal = (error: NodeJS.ErrnoException): boolean => error.code === 'ECONNREFUSED' || error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT';

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
      resolve({ reason: error.code ?? error.message, refused: isRefusal(error), stale: upstream.reusedSocket });
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

/**
 * WebSockets. The server's own answer decides: after its 101 bytes flow both ways; any other reply is handed back and ends the
 * connection, so that nothing the client sends later can reach the server as if it were the opened socket.
 */
export async function upgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  const target = targetOf(incoming.url!);
  let reason = '';
  for (const host of ADDRESSES) {
    const result = await handshake(incoming, socket, head, target, host);
    if (result === 'done') return;
    reason = result.reason;
    if (!result.refused) break;
  }
  throw unreachable(target.port, reason);
}

function handshake(incoming: IncomingMessage, socket: Duplex, head: Buffer, target: Target, host: string): Promise<Result> {
  return new Promise((resolve) => {
    const headers = [...passedOn(incoming.rawHeaders), 'Host', `localhost:${target.port}`, 'Connection', 'Upgrade', 'Upgrade', incoming.headers.upgrade!];
    const upstream = http.request({ host, port: target.port, method: incoming.method!, path: target.path, headers, agent: false, setHost: false } as http.RequestOptions);
    const gone = (): void => void upstream.destroy();
    socket.once('close', gone);
    upstream.once('upgrade', (reply, behind, first) => {
      socket.write(headOf(reply, reply.rawHeaders));
      if (first.length > 0) socket.write(first);
      if (head.length > 0) behind.write(head);
      tunnel(socket, behind);
      resolve('done');
    });
    upstream.once('response', (reply) => {
      socket.write(headOf(reply, [...passedOn(reply.rawHeaders), 'Connection', 'close']));
      reply.pipe(socket);
      reply.once('error', () => socket.destroy());
      resolve('done');
    });
    upstream.on('error', (error: NodeJS.ErrnoException) => {
      socket.off('close', gone);
      resolve({ reason: error.code ?? error.message, refused: isRefusal(error), stale: false });
    });
    upstream.end();
  });
}

function headOf(reply: IncomingMessage, headers: readonly string[]): string {
  let text = `HTTP/1.1 ${reply.statusCode} ${reply.statusMessage}\r\n`;
  for (let at = 0; at < headers.length; at += 2) text += `${headers[at]}: ${headers[at + 1]}\r\n`;
  return `${text}\r\n`;
}

/** Either side's end ends the other, at once when it broke and after its last bytes when it closed. */
function tunnel(one: Duplex, other: Duplex): void {
  for (const [from, to] of [[one, other], [other, one]] as const) {
    from.on('error', () => to.destroy());
    from.on('close', () => (from.readableEnded ? to.end() : to.destroy()));
    from.pipe(to);
  }
}
