/**
 * The toolbox: the daemon inside every sandbox. Serves HTTP on the descriptor it inherits, which is the host's way in, and
 * on loopback, which is the way of programs inside the sandbox.
 */
import net from 'node:net';
import { TERMINAL_PORT, TOOLBOX_ENV, TOOLBOX_PORT } from '@paddock/contract';
import { recall } from './environment/environment.ts';
import { Router } from './http/router.ts';
import { createServer, listenOnDescriptor, listenOnLoopback } from './http/serve.ts';
import { UpgradeRouter } from './http/upgrade.ts';
import { ROUTES, UPGRADE_ROUTES } from './routes.ts';
import { leftBehind } from './sessions/scratch.ts';

/** How long requests in progress may go on after SIGTERM. */
const DRAIN_MS = 5_000;
const DRAIN_STEP_MS = 20;

/** Ports for the loopback listeners; tests of several toolboxes on one machine give each its own. */
const PORT_ENV = 'PADDOCK_TOOLBOX_PORT';
const TERMINAL_PORT_ENV = 'PADDOCK_TERMINAL_PORT';

/** How long after the start the loopback listener waits, so that the first requests do not wait for it: its start loads Node's resolver, 5 ms. */
const LOOPBACK_DELAY_MS = 50;

recall();
const upgrades = new UpgradeRouter(UPGRADE_ROUTES);
const server = createServer(new Router(ROUTES), upgrades, () => import('./proxy/forward.ts'));
const loopback: net.Server[] = [];
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
void start();

async function start(): Promise<void> {
  const fd = process.env[TOOLBOX_ENV.listenFd];
  if (fd === undefined) {
    await listenInside(true);
    return listenForTerminal();
  }
  // What the first command needs is loaded right behind the first reply, which is the one to `/init`.
  server.once('request', (_, response) => response.once('finish', () => setImmediate(() => void import('./process/warm-up.ts'))));
  await listenOnDescriptor(server, Number(fd));
  setTimeout(() => {
    void listenInside(false);
    listenForTerminal();
    // An earlier toolbox of this boot had sessions: its entrypoint's output must be read, the rest ended.
    if (leftBehind()) void import('./sessions/entrypoint.ts');
  }, LOOPBACK_DELAY_MS);
}

/** The host's way in does not depend on this one: a port taken inside the sandbox is the sandbox's affair. */
async function listenInside(only: boolean): Promise<void> {
  const port = Number(process.env[PORT_ENV] ?? TOOLBOX_PORT);
  try {
    loopback.push(await listenOnLoopback(server, port));
  } catch (error) {
    console.error(JSON.stringify({ level: 'warn', message: `not listening on 127.0.0.1:${port}`, reason: (error as Error).message }));
    if (only) process.exit(1);
  }
}

/** The web terminal: a bare listener, everything behind it is loaded by the first connection. */
function listenForTerminal(): void {
  const port = Number(process.env[TERMINAL_PORT_ENV] ?? TERMINAL_PORT);
  const listener = net.createServer({ noDelay: true }, (socket) => void import('./terminal/serve.ts').then(({ serve }) => serve(socket)));
  listener.on('error', (error) => console.error(JSON.stringify({ level: 'warn', message: `not listening on 127.0.0.1:${port}`, reason: error.message })));
  listener.listen(port, '127.0.0.1');
  loopback.push(listener);
}

function stop(): void {
  for (const listener of loopback) listener.close();
  upgrades.close();
  server.close(() => process.exit(0));
  server.closeIdleConnections();
  // A connection whose last reply is out is idle again without telling anyone.
  setInterval(() => server.closeIdleConnections(), DRAIN_STEP_MS).unref();
  setTimeout(() => process.exit(0), DRAIN_MS).unref();
}
