import { createSocket } from 'node:dgram';
import type { Socket as UdpSocket } from 'node:dgram';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { failure, framed, isQuery, MessageReader } from './dns-message.ts';
import { boundSocket, inNetns } from './sockets.ts';
import { askByTcp, askByUdp, askInTurn } from './upstream.ts';
import type { Ask, Upstreams } from './upstream.ts';

/**
 * DNS for sandboxes. It listens inside the router's namespace, where nobody but sandboxes can reach it and no host
 * service can hold the port, and asks its upstream servers from the host's. Messages pass unread: whatever a client and a
 * server agree on (DNSSEC, EDNS, new record types) works.
 */

const PORT = 53;

/** A build that resolves hundreds of names at once stays below; a sandbox that floods is not served, the others are. */
const MAX_QUERIES_PER_SOURCE = 128;
/** Each query under way holds a descriptor of the runner. */
const MAX_QUERIES = 512;
const MAX_CONNECTIONS_PER_SOURCE = 16;
const MAX_CONNECTIONS = 512;
const IDLE_CONNECTION_MS = 10_000;
/** Unread answers a client may let pile up before its connection is cut. */
const MAX_UNSENT_BYTES = 256 * 1024;

/** How many things each source has under way, within a limit for one and one for all. */
class Quota {
  readonly #counts = new Map<string, number>();
  readonly #perSource: number;
  readonly #limit: number;
  #total = 0;

  constructor(perSource: number, limit: number) {
    this.#perSource = perSource;
    this.#limit = limit;
  }

  enter(source: string): boolean {
    const count = this.#counts.get(source) ?? 0;
    if (count >= this.#perSource || this.#total >= this.#limit) return false;
    this.#counts.set(source, count + 1);
    this.#total += 1;
    return true;
  }

  leave(source: string): void {
    const count = (this.#counts.get(source) ?? 1) - 1;
    if (count === 0) this.#counts.delete(source);
    else this.#counts.set(source, count);
    this.#total -= 1;
  }
}

export class Resolver {
  readonly #upstreams: Upstreams;
  readonly #queries = new Quota(MAX_QUERIES_PER_SOURCE, MAX_QUERIES);
  readonly #connections = new Quota(MAX_CONNECTIONS_PER_SOURCE, MAX_CONNECTIONS);
  readonly #clients = new Set<Socket>();
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  #closed = false;
  #lastGood: string | null = null;

  private constructor(upstreams: Upstreams) {
    this.#upstreams = upstreams;
    this.#udp = createSocket('udp4');
    this.#tcp = createServer((socket) => this.#serve(socket));
  }

  /** @param address where sandboxes reach it @param netnsFd the router's namespace */
  static async listen(address: number, netnsFd: number, upstreams: Upstreams): Promise<Resolver> {
    const resolver = new Resolver(upstreams);
    const [udpFd, tcpFd] = inNetns(netnsFd, () => [boundSocket('udp', address, PORT), boundSocket('tcp', address, PORT)] as const);
    resolver.#udp.on('message', (query, peer) => {
      void resolver.#answer(query, peer.address, askByUdp).then((reply) => {
        if (reply !== null && !resolver.#closed) resolver.#udp.send(reply, peer.port, peer.address, () => undefined);
      });
    });
    resolver.#udp.on('error', () => undefined); // of one reply: its client asks again
    await new Promise<void>((resolve, reject) => {
      resolver.#udp.once('error', reject);
      resolver.#udp.bind({ fd: udpFd, exclusive: true }, resolve);
    });
    await new Promise<void>((resolve, reject) => {
      resolver.#tcp.once('error', reject);
      resolver.#tcp.listen({ fd: tcpFd }, resolve);
    });
    return resolver;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const client of this.#clients) client.destroy();
    await new Promise<void>((resolve) => this.#udp.close(() => resolve()));
    await new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
  }

  /** @returns null for what gets no answer: nonsense, and what is over the quota (the client asks again) */
  async #answer(query: Buffer, source: string, ask: Ask): Promise<Buffer | null> {
    if (!isQuery(query) || !this.#queries.enter(source)) return null;
    try {
      const servers = [...this.#upstreams.list()];
      // The one that answered last goes first: a dead first entry of resolv.conf delays one question, not all.
      servers.sort((a, b) => Number(b === this.#lastGood) - Number(a === this.#lastGood));
      const answer = await askInTurn(servers, query, ask);
      if (answer !== null) this.#lastGood = answer.server;
      return answer?.reply ?? failure(query);
    } finally {
      this.#queries.leave(source);
    }
  }

  #serve(socket: Socket): void {
    const source = socket.remoteAddress ?? '';
    if (!this.#connections.enter(source)) {
      socket.destroy();
      return;
    }
    this.#clients.add(socket);
    socket.once('close', () => {
      this.#clients.delete(socket);
      this.#connections.leave(source);
    });
    socket.on('error', () => undefined); // 'close' follows
    socket.setTimeout(IDLE_CONNECTION_MS, () => socket.destroy());
    const reader = new MessageReader();
    socket.on('data', (chunk: Buffer) => {
      for (const query of reader.push(chunk)) {
        void this.#answer(query, source, askByTcp).then((reply) => {
          if (reply === null || socket.writableLength > MAX_UNSENT_BYTES) socket.destroy();
          else if (!socket.destroyed) socket.write(framed(reply));
        });
      }
    });
  }
}
