import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { join, resolve } from 'node:path';
import { workDir } from '../environment/places.ts';
import type { Connection, ServerChannel } from './library.ts';

type Join = (channel: ServerChannel, socket: net.Socket) => void;

/** What a client may ask of the whole connection. */
interface Asked {
  readonly bindAddr: string;
  readonly bindPort: number;
  readonly socketPath: string;
}

interface Listening {
  readonly servers: readonly net.Server[];
  /** Path of the unix socket. */
  readonly path: string | null;
}

type Reply = ((port?: number) => void) | undefined;

/** Listens inside the sandbox for the client, and hands it each connection as a channel. */
export class Forwards {
  readonly #connection: Connection;
  readonly #join: Join;
  readonly #listening = new Map<string, Listening>();
  #over = false;

  constructor(connection: Connection, join: Join) {
    this.#connection = connection;
    this.#join = join;
  }

  /** Paths of clients begin where their shells do. */
  resolve(path: string): string {
    return resolve(workDir, path);
  }

  request(name: string, asked: Asked, accept: Reply, reject: (() => void) | undefined): void {
    const done = this.#answer(name, asked);
    done.then((port) => (port === false ? reject?.() : accept?.(port)), () => reject?.());
  }

  end(): void {
    this.#over = true;
    for (const key of [...this.#listening.keys()]) this.#stop(key);
  }

  /** @returns the port, or false when it cannot be had */
  async #answer(name: string, asked: Asked): Promise<number | false> {
    switch (name) {
      case 'tcpip-forward': return await this.#listenOnPort(asked.bindAddr, asked.bindPort);
      case 'cancel-tcpip-forward': return this.#stop(portKey(asked.bindAddr, asked.bindPort)) && asked.bindPort;
      case 'streamlocal-forward@openssh.com': return await this.#listenOnPath(asked.socketPath);
      case 'cancel-streamlocal-forward@openssh.com': return this.#stop(asked.socketPath) && 0;
      default: return false;
    }
  }

  /** Always loopback, whatever address was asked for: previews reach it there, and other sandboxes must not. */
  async #listenOnPort(address: string, wanted: number): Promise<number | false> {
    const taken = (socket: net.Socket): void => {
      const { remoteAddress = '', remotePort = 0 } = socket;
      this.#connection.forwardOut(address, port, remoteAddress, remotePort, (error, channel) => (error ? socket.destroy() : this.#join(channel, socket)));
    };
    const first = await listen({ host: '127.0.0.1', port: wanted }, taken);
    const { port } = first.address() as net.AddressInfo;
    // A sandbox without IPv6, or a port that is taken there alone, is served by IPv4.
    const second = await listen({ host: '::1', port }, taken).catch(() => null);
    return this.#keep(portKey(address, port), { servers: second === null ? [first] : [first, second], path: null }) && port;
  }

  async #listenOnPath(asked: string): Promise<number | false> {
    const path = this.resolve(asked);
    const server = await listen({ path }, (socket) => {
      this.#connection.openssh_forwardOutStreamLocal(asked, (error, channel) => (error ? socket.destroy() : this.#join(channel, socket)));
    });
    chmodSync(path, 0o600);
    return this.#keep(asked, { servers: [server], path }) && 0;
  }

  #keep(key: string, listening: Listening): boolean {
    this.#listening.set(key, listening);
    if (this.#over) this.#stop(key);
    return !this.#over;
  }

  #stop(key: string): boolean {
    const listening = this.#listening.get(key);
    if (listening === undefined) return false;
    this.#listening.delete(key);
    for (const server of listening.servers) server.close();
    return true;
  }
}

const portKey = (address: string, port: number): string => `${address}:${port}`;

/** Sockets come paused: nothing is read before there is a channel for it. */
async function listen(where: net.ListenOptions, taken: (socket: net.Socket) => void): Promise<net.Server> {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
    socket.on('error', () => undefined);
    taken(socket);
  });
  server.listen(where);
  await once(server, 'listening');
  server.on('error', () => undefined);
  return server;
}

/** The client's agent behind a socket in a directory that only the user enters. */
export class AgentSocket {
  readonly path: string;
  readonly #dir: string;
  readonly #server: net.Server;

  constructor(connection: Connection, join_: Join) {
    this.#dir = mkdtempSync(join(os.tmpdir(), 'ssh-'));
    this.path = join(this.#dir, 'agent.sock');
    this.#server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      socket.on('error', () => undefined);
      openAgentChannel(connection, (error, channel) => (error ? socket.destroy() : join_(channel, socket)));
    });
    this.#server.on('error', () => undefined);
    this.#server.listen(this.path);
  }

  close(): void {
    this.#server.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** `ssh2` can write the message and take its answer, and has no method that does both. Window 2 MiB, packets 32 KiB: those of its other channels. */
function openAgentChannel(connection: Connection, opened: (error: Error | undefined, channel: ServerChannel) => void): void {
  const inside = connection as unknown as {
    _chanMgr: { add(callback: unknown): number };
    _protocol: { openssh_authAgent(channel: number, window: number, packet: number): void };
  };
  const id = inside._chanMgr.add(Object.assign((error: Error | undefined, channel: ServerChannel) => opened(error, channel), { type: 'auth-agent@openssh.com' }));
  inside._protocol.openssh_authAgent(id, 2 * 1024 * 1024, 32 * 1024);
}
