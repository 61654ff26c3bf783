import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket, WebSocketServer } from 'ws';
import { fail, ToolboxError } from '../errors.ts';
import { decode, type Handler } from './exchange.ts';

/**
 * A route out of HTTP: a path with `{name}` segments, where its handler lives, and the protocol that the client must ask for: WebSocket
 * when left out. Handlers are loaded at first use.
 */
export type UpgradeRoute = readonly [path: string, load: () => Promise<{ readonly upgrade: UpgradeHandler }>, protocol?: string];

const WEB_SOCKET = 'websocket';

/**
 * Decides about one upgrade. What it throws before `accept` is answered as a plain HTTP status in the error envelope (clients
 * map the status of a rejected handshake); what it throws afterwards closes the socket with 1011.
 */
export type UpgradeHandler = (exchange: UpgradeExchange) => Promise<void> | void;

export interface UpgradeExchange {
  readonly request: IncomingMessage;
  readonly path: string;
  /** Query text without `?`, as sent; read it by `query(exchange, name)`. */
  readonly search: string;
  /** What the `{name}` segments of the route matched, percent-decoded, in order. */
  readonly params: readonly string[];
  /** Subprotocol tokens the client offered, in its order. */
  readonly offered: readonly string[];
  /** Completes the handshake, echoing the token that `chosenProtocol` picks. @param maxPayloadBytes largest message the client may send */
  accept(maxPayloadBytes: number): Promise<WebSocket>;
  /** Answers 101 with the route's protocol. @returns the connection, which belongs to the caller; what the client sent already is in it */
  leave(): Duplex;
}

export const VERSION_PROTOCOL = 'X-Daytona-SDK-Version~';
export const EXIT_CONTROL_PROTOCOL = 'X-Daytona-Pty-Exit-Control';
export const ENVS_PROTOCOL = 'X-Daytona-Pty-Envs~';

/**
 * Wire: clients fail the handshake when they offered tokens and none is echoed, and when one is echoed that they did not offer.
 * The envs token carries secrets and is never the answer.
 */
export function chosenProtocol(offered: readonly string[]): string | null {
  return offered.find((token) => token.startsWith(VERSION_PROTOCOL)) ?? offered.find((token) => token === EXIT_CONTROL_PROTOCOL)
    ?? offered.find((token) => !token.startsWith(ENVS_PROTOCOL)) ?? null;
}

/** Answers a plain request to a route that only speaks WebSocket. */
export const webSocketOnly: Handler = (exchange) => {
  exchange.response.setHeader('Upgrade', 'websocket');
  throw new ToolboxError(426, null, `upgrade required: ${exchange.path} is a WebSocket route`);
};

export class UpgradeRouter {
  readonly #routes: readonly { readonly segments: readonly string[]; readonly load: UpgradeRoute[1]; readonly protocol: string }[];
  readonly #open = new Set<WebSocket>();
  readonly #servers = new Map<number, Promise<WebSocketServer>>();

  constructor(routes: readonly UpgradeRoute[]) {
    // A literal segment wins over a parameter when both match, whatever their order in the table.
    this.#routes = routes.map(([path, load, protocol = WEB_SOCKET]) => ({ segments: path.split('/'), load, protocol })).sort((a, b) => parameters(a.segments) - parameters(b.segments));
  }

  /** Whether this request leaves HTTP here. Any other Upgrade header is an offer that is not taken. */
  takes(request: IncomingMessage): boolean {
    return request.method === 'GET' && request.headers.upgrade !== undefined && this.#find(pathOf(request.url!), request.headers.upgrade) !== null;
  }

  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const path = pathOf(request.url!);
    const found = this.#find(path, request.headers.upgrade ?? '');
    if (found === null) throw fail('NOT_FOUND', `not found: ${path}`);
    const mark = request.url!.indexOf('?');
    let accepted: WebSocket | null = null;
    let left = false;
    const exchange: UpgradeExchange = {
      request, path,
      search: mark < 0 ? '' : request.url!.slice(mark + 1),
      params: found.params.map(decode),
      offered: (request.headers['sec-websocket-protocol'] ?? '').split(',').map((token) => token.trim()).filter((token) => token !== ''),
      accept: async (maxPayloadBytes) => (accepted = await this.#accept(request, socket, head, maxPayloadBytes)),
      leave: () => {
        left = true;
        return leave(socket, head, found.protocol);
      },
    };
    try {
      await (await found.load()).upgrade(exchange);
    } catch (error) {
      if (accepted === null && !left) throw error;
      console.error(JSON.stringify({ level: 'error', path, message: (error as Error).message, stack: (error as Error).stack }));
      if (left) socket.destroy();
      else (accepted as WebSocket | null)?.close(1011);
    }
  }

  /** Tells every client that the toolbox is going away. */
  close(): void {
    for (const socket of this.#open) socket.close(1001);
  }

  async #accept(request: IncomingMessage, socket: Duplex, head: Buffer, maxPayloadBytes: number): Promise<WebSocket> {
    if (!this.#servers.has(maxPayloadBytes)) this.#servers.set(maxPayloadBytes, newServer(maxPayloadBytes));
    const server = await this.#servers.get(maxPayloadBytes)!;
    if (socket.destroyed) throw gone();
    return await new Promise((resolve, reject) => {
      // A handshake that `ws` refuses, a missing key for one, is answered by itself and ends the socket.
      socket.once('close', () => reject(gone()));
      server.handleUpgrade(request, socket, head, (accepted) => {
        this.#open.add(accepted);
        accepted.once('close', () => this.#open.delete(accepted));
        // A frame that breaks the protocol closes the socket; there is nobody else to tell.
        accepted.on('error', () => undefined);
        resolve(accepted);
      });
    });
  }

  #find(path: string, asked: string): { readonly load: UpgradeRoute[1]; readonly params: readonly string[]; readonly protocol: string } | null {
    const parts = path.split('/');
    for (const { segments, load, protocol } of this.#routes) {
      if (protocol !== asked.toLowerCase() || segments.length !== parts.length || !segments.every((segment, at) => segment === parts[at] || (isParameter(segment) && parts[at] !== ''))) continue;
      return { load, protocol, params: parts.filter((_, at) => isParameter(segments[at]!)) };
    }
    return null;
  }
}

/** `ws` knows one message limit for a server, so there is one server for each limit in use. */
async function newServer(maxPayload: number): Promise<WebSocketServer> {
  const { WebSocketServer } = await import('ws');
  // Any Origin is taken: who may come here is decided by the gateway. Pings are answered by `ws` itself, also while idle.
  return new WebSocketServer({
    noServer: true, clientTracking: false, perMessageDeflate: false, maxPayload,
    handleProtocols: (offered) => chosenProtocol([...offered]) ?? false,
  });
}

function leave(socket: Duplex, head: Buffer, protocol: string): Duplex {
  if (!socket.writable) throw gone();
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`);
  if (head.length > 0) socket.unshift(head);
  return socket;
}

const gone = (): Error => Object.assign(new Error('the client went away during the handshake'), { code: 'ECONNRESET' });
const isParameter = (segment: string): boolean => segment.startsWith('{');
const parameters = (segments: readonly string[]): number => segments.filter(isParameter).length;

function pathOf(url: string): string {
  const mark = url.indexOf('?');
  const path = mark < 0 ? url : url.slice(0, mark);
  return path.length > 1 ? path.replace(/\/+$/, '') : path;
}
