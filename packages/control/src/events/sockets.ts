import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Server } from 'socket.io';
import type { Principal } from '../auth/index.ts';

/** wire: clients derive it from the API's address. */
const PATH = '/api/socket.io/';
/** Clients send nothing but the packet that connects them; a token of a few KiB is the largest thing in it. */
const MAX_MESSAGE_BYTES = 16 * 1024;
/** A client that opened a socket and does not introduce itself is cut off. */
const CONNECT_TIMEOUT_MS = 10_000;

export interface EventSockets {
  matches(req: IncomingMessage): boolean;
  /** A plain request on the path: anything but a WebSocket is answered 400. */
  handle(req: IncomingMessage, res: ServerResponse): void;
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Somebody listens to the organization: spares building messages for nobody. */
  hasAudience(organizationId: string): boolean;
  emit(organizationId: string, event: string, payload: unknown): void;
  /** Ends all connections; clients try to come back by themselves. */
  disconnect(): void;
  close(): Promise<void>;
}

/**
 * socket.io 4, WebSocket transport only. A client is in the rooms of its user and its organization and never sends
 * anything; a wrong token is answered with `connect_error` "Unauthorized".
 */
export function createEventSockets(authenticate: (token: string) => Principal | null | Promise<Principal | null>): EventSockets {
  // Never listens: requests and upgrades are handed over by whoever owns the port.
  const inlet = createServer();
  const io = new Server(inlet, {
    path: PATH,
    transports: ['websocket'],
    serveClient: false,
    destroyUpgrade: false,
    maxHttpBufferSize: MAX_MESSAGE_BYTES,
    connectTimeout: CONNECT_TIMEOUT_MS,
    perMessageDeflate: false,
  });

  io.use(async (socket, next) => {
    const { token } = socket.handshake.auth as { token?: unknown };
    try {
      const principal = typeof token === 'string' ? await authenticate(token) : null;
      if (principal?.kind !== 'api-key') return next(new Error('Unauthorized'));
      socket.data = { rooms: [principal.userId, principal.organizationId] };
      next();
    } catch {
      next(new Error('Temporary authentication service error')); // the client tries again by itself
    }
  });
  io.on('connection', (socket) => void socket.join((socket.data as { rooms: string[] }).rooms));

  return {
    matches: (req) => (req.url ?? '').startsWith(PATH),
    handle: (req, res) => void inlet.emit('request', req, res),
    upgrade: (req, socket, head) => void inlet.emit('upgrade', req, socket, head),
    hasAudience: (organizationId) => io.sockets.adapter.rooms.has(organizationId),
    emit: (organizationId, event, payload) => void io.to(organizationId).emit(event, payload),
    disconnect: () => void io.disconnectSockets(true),
    close: () => new Promise((resolve) => void io.close(() => resolve())),
  };
}
