import type { AddressInfo, Server } from 'node:net';
import { StartRefused } from '../start-refused.ts';

/**
 * Addresses to listen on for a configured host. `localhost` means both loopbacks: clients resolve it to ::1 first, and
 * whoever else listens there would get their API keys.
 */
export function addressesOf(host: string): readonly string[] {
  return host === 'localhost' || host === '127.0.0.1' ? ['127.0.0.1', '::1'] : [host];
}

/** A machine without IPv6 has no ::1. */
const NO_SUCH_ADDRESS = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT']);

/**
 * Binds one server for each address, all to the same port.
 * @param port 0: any free one
 * @param setting name of the variable that chooses the port, for whoever must change it
 */
export async function listenOn<S extends Server>(makeServer: () => S, host: string, port: number, setting = 'PADDOCK_PORT'): Promise<readonly S[]> {
  const servers: S[] = [];
  let chosen = port;
  for (const address of addressesOf(host)) {
    const server = makeServer();
    try {
      await listen(server, address, chosen);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (servers.length > 0 && NO_SUCH_ADDRESS.has(code)) continue;
      for (const bound of servers) bound.close();
      if (code === 'EADDRINUSE') throw new StartRefused(`Another program listens on ${address} port ${chosen}. Stop it or set ${setting}.`);
      if (code === 'EACCES') throw new StartRefused(`Not allowed to listen on port ${chosen}. Start as root or set ${setting} to 1024 or more.`);
      if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') throw new StartRefused(`This machine has no address ${address}. Correct PADDOCK_HOST.`);
      throw error;
    }
    chosen = (server.address() as AddressInfo).port;
    servers.push(server);
  }
  return servers;
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // The kernel's default: what arrives while the process is busy or restarting waits in the queue.
    server.listen({ host, port, backlog: 4096, ipv6Only: host === '::1' }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
