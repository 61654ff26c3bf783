import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorBody } from '@paddock/contract';
import { GATEWAY_SERVER_OPTIONS, type Gateway } from '@paddock/gateway';
import { API_VERSION } from '../http/index.ts';
import { listenOn } from './listen.ts';

/** Whoever serves plain requests and upgrades of some paths. */
export interface Inlet {
  matches(req: IncomingMessage): boolean;
  handle(req: IncomingMessage, res: ServerResponse): void;
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** Takes bodies of any size and decides by itself when to ask for them. */
export interface DataInlet {
  matches(req: IncomingMessage): boolean;
  /** Hosts of its own, which a preview host must not be taken for; tried before the gateway. */
  ownsHost?(req: IncomingMessage): boolean;
  /** @param expectsContinue the client waits for `100 Continue` */
  handle(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean): void;
}

export interface Handlers {
  readonly gateway: Gateway;
  readonly events: Inlet;
  /** Tried in this order, before the API. */
  readonly data: readonly DataInlet[];
  readonly api: (req: IncomingMessage, res: ServerResponse) => void;
}

/** Requests that arrive during a start are held this long, so that a restart costs them time and not an error. */
const HOLD_MS = 10_000;
/** Requests under way get this long to end when the server stops. */
const DRAIN_MS = 5_000;

/**
 * The one HTTP port. It is bound before privileges are dropped and before anything can serve; what comes meanwhile waits.
 * Then each request goes to the gateway (preview hosts, toolbox paths), the event sockets or the API.
 */
export class Front {
  readonly #servers: Promise<readonly Server[]>;
  readonly #opened = Promise.withResolvers<Handlers>();
  #handlers: Handlers | null = null;

  constructor(host: string, port: number) {
    this.#servers = listenOn(() => this.#makeServer(), host, port);
  }

  /** Rejects with StartRefused when it cannot be had. @returns the port */
  async bound(): Promise<number> {
    const [server] = await this.#servers;
    const address = server!.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  open(handlers: Handlers): void {
    this.#handlers = handlers;
    this.#opened.resolve(handlers);
  }

  /** No new connections; returns when the requests under way have ended, or cut them after five seconds. */
  async close(): Promise<void> {
    const servers = await this.#servers.catch(() => []);
    const closed = Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
    for (const server of servers) server.closeIdleConnections();
    const drained = await Promise.race([closed.then(() => true), sleep(DRAIN_MS, false)]);
    if (!drained) for (const server of servers) server.closeAllConnections();
  }

  #makeServer(): Server {
    const server = createServer(GATEWAY_SERVER_OPTIONS, (req, res) => this.#request(req, res, false));
    server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => this.#request(req, res, true));
    server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => this.#upgrade(req, socket, head));
    server.on('clientError', answerBrokenRequest);
    return server;
  }

  #request(req: IncomingMessage, res: ServerResponse, expectsContinue: boolean): void {
    if (this.#handlers) dispatch(this.#handlers, req, res, expectsContinue);
    else void this.#whenOpen().then((handlers) => (handlers ? dispatch(handlers, req, res, expectsContinue) : refuse(req, res)));
  }

  #upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    // A client that resets its connection while it waits must not end the process.
    socket.on('error', () => socket.destroy());
    if (this.#handlers) upgrade(this.#handlers, req, socket, head);
    else void this.#whenOpen().then((handlers) => (handlers ? upgrade(handlers, req, socket, head) : socket.destroy()));
  }

  #whenOpen(): Promise<Handlers | null> {
    return Promise.race([this.#opened.promise, sleep(HOLD_MS, null, { ref: false })]);
  }
}

function dispatch({ gateway, events, data, api }: Handlers, req: IncomingMessage, res: ServerResponse, expectsContinue: boolean): void {
  const owner = data.find((candidate) => candidate.ownsHost?.(req));
  if (owner) return owner.handle(req, res, expectsContinue);
  if (gateway.matches(req)) return expectsContinue ? gateway.checkContinue(req, res) : gateway.handle(req, res);
  const inlet = data.find((candidate) => candidate.matches(req));
  if (inlet) return inlet.handle(req, res, expectsContinue);
  if (expectsContinue) res.writeContinue();
  if (events.matches(req)) events.handle(req, res);
  else api(req, res);
}

function upgrade({ gateway, events }: Handlers, req: IncomingMessage, socket: Duplex, head: Buffer): void {
  if (gateway.matches(req)) gateway.upgrade(req, socket, head);
  else if (events.matches(req)) events.upgrade(req, socket, head);
  else socket.end(rawReply(404, `Cannot upgrade ${pathOf(req)}`, pathOf(req)));
}

function refuse(req: IncomingMessage, res: ServerResponse): void {
  res.writeHead(503, { 'content-type': 'application/json; charset=utf-8', 'retry-after': '1', connection: 'close' });
  res.end(JSON.stringify(errorBody('DAYTONA_API', 503, 'The server is starting; try again in a moment', { path: pathOf(req) })));
}

const PARSE_ERRORS: Readonly<Record<string, readonly [status: number, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'The request headers are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request headers did not arrive in time'],
};

/** What is not even HTTP has no request to answer to. */
function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
  const [status, message] = PARSE_ERRORS[error.code ?? ''] ?? [400, 'The request is not valid HTTP'];
  socket.end(rawReply(status, message, ''));
}

function rawReply(status: number, message: string, path: string): string {
  const body = errorBody('DAYTONA_API', status, message, { path });
  const text = JSON.stringify(body);
  return [
    `HTTP/1.1 ${status} ${body.error}`, 'Content-Type: application/json; charset=utf-8', `Content-Length: ${Buffer.byteLength(text)}`,
    `X-Daytona-Api-Version: ${API_VERSION}`, 'Connection: close', '', text,
  ].join('\r\n');
}

function pathOf(req: IncomingMessage): string {
  return req.url ?? '';
}
