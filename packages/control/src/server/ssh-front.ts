import { createServer, type Server, type Socket } from 'node:net';
import type { SshGateway } from '@paddock/gateway';
import { listenOn } from './listen.ts';

/** Connections that arrive before the gateway is ready wait this long. */
const HOLD_MS = 10_000;

/** The SSH port. Bound early, like the HTTP one, so that a start that cannot have it fails at once. */
export class SshFront {
  readonly #servers: Promise<readonly Server[]>;
  readonly #opened = Promise.withResolvers<SshGateway>();

  /** @param port 0: no SSH */
  constructor(host: string, port: number) {
    this.#servers = port === 0 ? Promise.resolve([]) : listenOn(() => createServer((socket) => this.#accept(socket)), host, port, 'PADDOCK_SSH_PORT');
    this.#servers.catch(() => undefined); // told by `bound`
  }

  /** Rejects with StartRefused when the port cannot be had. */
  async bound(): Promise<void> {
    await this.#servers;
  }

  open(gateway: SshGateway): void {
    this.#opened.resolve(gateway);
  }

  /** No new connections. Those that are open belong to the gateway. */
  async close(): Promise<void> {
    for (const server of await this.#servers.catch(() => [])) server.close();
  }

  #accept(socket: Socket): void {
    const giveUp = setTimeout(() => socket.destroy(), HOLD_MS);
    const drop = (): void => void socket.destroy();
    socket.on('error', drop);
    void this.#opened.promise.then((gateway) => {
      clearTimeout(giveUp);
      if (!socket.destroyed) gateway.serve(socket);
    });
  }
}
