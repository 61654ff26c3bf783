import { layoutOf, readConfig, tellParent, type PaddockConfig } from '@paddock/contract';
import { pino } from 'pino';
import { assemble, type ControlPlane } from './assembly.ts';
import { bootstrap } from './bootstrap/index.ts';
import type { ControlContext } from './context.ts';
import { migrate, MIGRATIONS } from './db/index.ts';
import { prepareBlobRoot } from './object-storage/index.ts';
import { Front } from './server/front.ts';
import { dropPrivileges, userToBecome } from './server/privileges.ts';
import { SshFront } from './server/ssh-front.ts';
import { createContext } from './services.ts';
import { StartRefused } from './start-refused.ts';

/**
 * The control plane's process: settings on stdin, port bound as root, then as the service user database, schema, first
 * records, domains, and the port is opened. Ends on SIGTERM or when its parent is gone.
 */
const stopped = Promise.withResolvers<void>();
process.on('SIGTERM', () => stopped.resolve());
process.on('SIGINT', () => stopped.resolve());

/** Beyond the five seconds that requests get to end: something hangs, and nothing is gained by waiting for it. */
const HARD_STOP_MS = 9_000;

await main(await readConfig(() => stopped.resolve()));

async function main(config: PaddockConfig): Promise<void> {
  const output = pino.destination({ dest: 2, sync: true });
  output.on('error', () => undefined); // whoever read the log is gone; so will we be
  const log = pino({ level: config.logLevel, base: { part: 'control' } }, output);
  process.on('unhandledRejection', (reason) => log.error({ err: reason }, 'unhandled rejection'));
  const front = new Front(config.host, config.port);
  const sshFront = new SshFront(config.host, config.sshPort);
  let plane: ControlPlane;
  let context: ControlContext;
  try {
    await front.bound();
    await sshFront.bound();
    const blobRoot = prepareBlobRoot(layoutOf(config.dataDir, config.runRoot).blobDir, userToBecome(config.serviceUser));
    dropPrivileges(config.serviceUser);
    context = createContext(config, log, blobRoot);
    await migrate(context.db, MIGRATIONS, log);
    await bootstrap(context.db, config, (key) => tellParent({ type: 'admin-key', key }));
    await context.auth.start();
    plane = await assemble(context);
  } catch (error) {
    if (error instanceof StartRefused) refuseToStart(error);
    log.fatal({ err: error }, 'the control plane cannot start');
    process.exit(1);
  }
  front.open(plane.handlers);
  sshFront.open(plane.ssh);
  tellParent({ type: 'ready' });
  log.info({ port: await front.bound(), publicUrl: config.publicUrl }, 'control plane serves');

  await stopped.promise;
  setTimeout(() => process.exit(0), HARD_STOP_MS).unref();
  context.readiness.drain();
  const closed = Promise.all([front.close(), sshFront.close()]);
  plane.hangUp();
  await closed;
  await plane.stop();
  await context.auth.close();
  await context.db.close();
  log.info('control plane stopped');
  process.exit(0);
}

function refuseToStart({ message }: StartRefused): never {
  tellParent({ type: 'refused', reason: message });
  console.error(message);
  process.exit(1);
}
