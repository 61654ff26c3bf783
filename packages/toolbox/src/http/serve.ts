import http from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { badRequest, envelope, errnoOf, fromErrno, ToolboxError } from '../errors.ts';
import type { Exchange } from './exchange.ts';
import { becameBusy } from './quiet.ts';
import { MethodNotAllowed, type Router } from './router.ts';
import type { UpgradeRouter } from './upgrade.ts';

/** What takes a request whose path begins with `/proxy/`: kept apart because it must see the path untouched. */
export interface ProxyRoute {
  request(request: IncomingMessage, response: ServerResponse): Promise<void>;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
}

const PROXY_PREFIX = '/proxy/';

/** Parsers kept for the next connections, 10 KiB each. Node would keep a thousand after a burst; to make one takes microseconds. */
const IDLE_PARSERS = 8;

/** How long a refused client may take to read the reply and to go: long for a slow line, and all it holds meanwhile is a descriptor. */
const REFUSED_MS = 5_000;

/**
 * The HTTP server. Wire: headers within 10 s, idle connections kept 70 s, no limit on bodies and replies, which may
 * stream for hours. Header block up to 64 KiB: a 4,096-byte path percent-encoded in a query exceeds Node's 16 KiB.
 */
export function createServer(router: Router, upgrades: UpgradeRouter, proxy: () => Promise<ProxyRoute>): http.Server {
  http.setMaxIdleHTTPParsers(IDLE_PARSERS);
  const server = http.createServer({
    headersTimeout: 10_000,
    requestTimeout: 0,
    keepAliveTimeout: 70_000,
    connectionsCheckingInterval: 10_000,
    maxHeaderSize: 64 * 1024,
    noDelay: true,
    // Only what has a route of its own and a WebSocket behind the proxy leave HTTP; any other Upgrade header is an offer that is not taken.
    shouldUpgradeCallback: (request: IncomingMessage) => (isProxied(request) ? request.headers.upgrade?.toLowerCase() === 'websocket' : upgrades.takes(request)),
  } as http.ServerOptions);
  // What a connection held is free from now on: of a stream of hours this is the first word since its request.
  server.on('connection', (socket) => socket.once('close', becameBusy));
  server.on('request', (request, response) => {
    becameBusy();
    void answer(router, proxy, request, response);
  });
  server.on('upgrade', (request, socket, head) => {
    becameBusy();
    socket.on('error', () => socket.destroy());
    (isProxied(request) ? proxy() : Promise.resolve(upgrades))
      .then((route) => route.upgrade(request, socket, head))
      .catch((error: unknown) => refuse(socket, fromErrno(error), request.method ?? 'GET', request.url ?? '/'));
  });
  server.on('clientError', (error, socket) => refuse(socket, fromParser(error), '', ''));
  return server;
}

const isProxied = (request: IncomingMessage): boolean => request.url!.startsWith(PROXY_PREFIX);

async function answer(router: Router, proxy: () => Promise<ProxyRoute>, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = request.url!;
  const method = request.method!;
  let path = url;
  // The parser stops behind a request that offers to leave HTTP, whether or not the offer is taken.
  if (request.headers.upgrade !== undefined) response.shouldKeepAlive = false;
  try {
    if (isProxied(request)) return await (await proxy()).request(request, response);
    const mark = url.indexOf('?');
    path = withoutTrailingSlashes(mark < 0 ? url : url.slice(0, mark));
    if (!path.startsWith('/')) throw badRequest('the request target must be a path');
    const { handle, params } = router.find(method, path);
    const exchange: Exchange = { request, response, method, path, search: mark < 0 ? '' : url.slice(mark + 1), params };
    await (await handle()).handle(exchange);
  } catch (error) {
    sendError(request, response, error, method, path);
  }
}

/**
 * Turns whatever a handler threw into a reply. Once a reply has begun its status is out: the connection is cut, so that
 * the client sees a truncated body and not a complete one.
 */
function sendError(request: IncomingMessage, response: ServerResponse, thrown: unknown, method: string, path: string): void {
  const error = fromErrno(thrown);
  if (error.status === 500) console.error(JSON.stringify({ level: 'error', method, path, message: error.message, stack: (thrown as Error)?.stack }));
  if (response.destroyed || errnoOf(thrown) === 'ECONNRESET') return void response.destroy();
  if (response.headersSent) return void response.destroy();
  const body = Buffer.from(envelope(error, method, path));
  // A body that was refused for its size is not read to its end: the connection cannot be used again.
  const closing = error.status === 413;
  response.writeHead(error.status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': body.length,
    ...(error instanceof MethodNotAllowed ? { Allow: error.allow } : {}),
    ...(closing ? { Connection: 'close' } : {}),
  });
  response.end(body);
  if (!request.complete && !closing) request.resume();
}

/** Answers on a bare socket: the request never became one, or asked for an upgrade that cannot be had. */
function refuse(socket: Duplex, error: ToolboxError, method: string, path: string): void {
  if (!socket.writable) return void socket.destroy();
  const body = envelope(error, method, path);
  const reason = http.STATUS_CODES[error.status] ?? 'Error';
  socket.end(
    `HTTP/1.1 ${error.status} ${reason}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
  // What still comes is thrown away: unread, it would hide that the client has gone.
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), REFUSED_MS).unref();
  socket.once('close', () => clearTimeout(timer));
}

function fromParser(error: Error): ToolboxError {
  switch (errnoOf(error)) {
    case 'HPE_HEADER_OVERFLOW': return new ToolboxError(431, null, 'request header fields too large');
    case 'ERR_HTTP_REQUEST_TIMEOUT': return new ToolboxError(408, 'REQUEST_TIMEOUT', 'request timeout: the request headers did not arrive in time');
    default: return badRequest('malformed HTTP request');
  }
}

function withoutTrailingSlashes(path: string): string {
  let end = path.length;
  while (end > 1 && path.charCodeAt(end - 1) === 0x2f) end--;
  return end === path.length ? path : path.slice(0, end);
}

/** Listens on an inherited descriptor that is already bound. */
export function listenOnDescriptor(server: http.Server, fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ fd }, resolve);
  });
}

const fromInside = new WeakSet<object>();

/** Whether a connection was made by a program of the sandbox. The host comes by the inherited descriptor. */
export const isFromInside = (socket: object): boolean => fromInside.has(socket);

/** A second way in: connections accepted here are served by the same HTTP server. */
export function listenOnLoopback(server: http.Server, port: number): Promise<net.Server> {
  const listener = net.createServer({ noDelay: true, pauseOnConnect: false }, (socket) => {
    fromInside.add(socket);
    server.emit('connection', socket);
  });
  return new Promise((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(port, '127.0.0.1', () => resolve(listener));
  });
}
