/** The web terminal: a page and the WebSocket behind it. Wire: `GET /` and `/ws` on port 22222, reached through the gateway only. */
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { envelope, fail, fromErrno, type ToolboxError } from '../errors.ts';
import { query } from '../http/exchange.ts';
import { UpgradeRouter, type UpgradeExchange } from '../http/upgrade.ts';
import { WebTerminal } from './web-terminal.ts';

/** As for the terminals of the toolbox. */
const MAX_INPUT_BYTES = 64 * 1024;

/** Everything is in the page itself; the only thing it reaches is the server it came from. */
const PAGE_HEADERS = {
  'Content-Type': 'text/html; charset=utf-8',
  'Cache-Control': 'no-cache',
  'Content-Security-Policy': "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self' ws: wss:",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
};

const SESSION_ID = /^[0-9a-zA-Z-]{16,64}$/;

/** Shells by the id their page has chosen. */
const shells = new Map<string, WebTerminal>();

const upgrades = new UpgradeRouter([['/ws', () => Promise.resolve({ upgrade })]]);

const server = http.createServer({
  headersTimeout: 10_000, requestTimeout: 0,
  shouldUpgradeCallback: (request: IncomingMessage) => upgrades.takes(request),
} as http.ServerOptions);
server.on('request', (request, response) => void answer(request, response).catch((error: unknown) => refuse(request, response, fromErrno(error))));
server.on('upgrade', (request, socket, head) => {
  socket.on('error', () => socket.destroy());
  upgrades.upgrade(request, socket, head).catch(() => socket.destroy());
});

/** Takes a connection that was accepted on the terminal's port. */
export function serve(socket: Socket): void {
  server.emit('connection', socket);
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path] = request.url!.split('?');
  if (path !== '/' && path !== '/index.html') throw fail('NOT_FOUND', `not found: ${path!.slice(0, 200)}`);
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { Allow: 'GET, HEAD', 'Content-Length': 0 });
    return void response.end();
  }
  const page = await readFile(join(__dirname, 'terminal.html'));
  response.writeHead(200, { ...PAGE_HEADERS, 'Content-Length': page.length });
  response.end(page);
}

function refuse(request: IncomingMessage, response: ServerResponse, error: ToolboxError): void {
  if (response.headersSent) return void response.destroy();
  const body = Buffer.from(envelope(error, request.method!, request.url!));
  response.writeHead(error.status, { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': body.length });
  response.end(body);
}

async function upgrade(exchange: UpgradeExchange): Promise<void> {
  const socket = await exchange.accept(MAX_INPUT_BYTES);
  const id = query(exchange, 'session') ?? '';
  const named = SESSION_ID.test(id);
  let shell = named ? shells.get(id) : undefined;
  if (shell === undefined) {
    shell = new WebTerminal(() => shells.get(id) === shell && shells.delete(id));
    if (named) shells.set(id, shell);
  }
  shell.attach(socket, exchange.request.socket);
}
