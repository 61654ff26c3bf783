import net from 'node:net';
import { becameBusy } from '../http/quiet.ts';
import { bridge } from './bridge.ts';
import { Forwards } from './forwards.ts';
import type { AcceptConnection, Connection, RejectConnection, ServerChannel } from './library.ts';
import { SshSession } from './session.ts';

/** One authenticated client. Its end is the end of everything it started and did not detach. */
export class SshConnection {
  readonly #connection: Connection;
  readonly #forwards: Forwards;
  /** How to end what is open. */
  readonly #open = new Set<() => void>();
  #over = false;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#forwards = new Forwards(connection, (channel, socket) => this.#bridge(channel, socket));
    connection.on('authentication', (context) => (context.method === 'none' ? context.accept() : context.reject(['none'])));
    connection.on('session', (accept) => {
      becameBusy();
      const session: SshSession = new SshSession(accept(), connection, () => this.#open.delete(end), (channel, socket) => this.#bridge(channel, socket));
      const end = (): void => session.end();
      this.#open.add(end);
    });
    connection.on('tcpip', (accept, reject, { destIP, destPort }) => this.#dial({ host: destIP, port: destPort }, accept, reject));
    connection.on('openssh.streamlocal' as never, ((accept: AcceptConnection<ServerChannel>, reject: RejectConnection, { socketPath }: { socketPath: string }) => {
      this.#dial({ path: this.#forwards.resolve(socketPath) }, accept, reject);
    }) as never);
    connection.on('request', (accept, reject, name, info) => this.#forwards.request(name, info as never, accept as never, reject));
    // A broken packet or a lost socket: the end follows.
    connection.on('error', () => undefined);
    connection.on('close', () => this.#end());
  }

  /** Connects from inside the sandbox, to wherever the sandbox itself may go. */
  #dial(target: { readonly host: string; readonly port: number } | { readonly path: string }, accept: AcceptConnection<ServerChannel>, reject: RejectConnection): void {
    becameBusy();
    let socket: net.Socket;
    try {
      socket = net.connect({ ...target, allowHalfOpen: true, noDelay: true } as net.NetConnectOpts);
    } catch {
      // A port or a path that cannot be one.
      reject();
      return;
    }
    const cancel = (): void => void socket.destroy();
    this.#open.add(cancel);
    const refused = (): void => {
      this.#open.delete(cancel);
      reject();
    };
    socket.once('error', refused);
    socket.once('connect', () => {
      socket.off('error', refused);
      this.#open.delete(cancel);
      if (this.#over) return void socket.destroy();
      this.#bridge(accept(), socket);
    });
  }

  #bridge(channel: ServerChannel, socket: net.Socket): void {
    const end = (): void => void socket.destroy();
    this.#open.add(end);
    bridge(channel, socket, () => this.#open.delete(end));
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#forwards.end();
    for (const end of [...this.#open]) end();
    this.#open.clear();
    becameBusy();
  }
}
