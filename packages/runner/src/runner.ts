/** Puts the runner together: pool, images, guest runtime, network, recovery, socket, in the order they depend on each other. */
import { mkdirSync, readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { layoutOf, ownAddress, type Layout, type PaddockConfig, type RunnerInfo } from '@paddock/contract';
import { SandboxMaker } from './archives/sandbox-maker.ts';
import { Builder } from './builds/index.ts';
import { Transfers } from './archives/transfers.ts';
import { openCgroups } from './engine/cgroups.ts';
import { findEngine } from './engine/engines.ts';
import { ExitWatch } from './engine/exit-watch.ts';
import { GIB, Launcher } from './engine/launcher.ts';
import { Runtime } from './engine/runtime.ts';
import { collectGuests, prepareGuest } from './guest/index.ts';
import { Images, Publications, RecipeMaker, RegistryMaker, inspect, keepMade } from './images/index.ts';
import type { Parts } from './lifecycle/parts.ts';
import { Records } from './lifecycle/records.ts';
import { recover } from './lifecycle/recover.ts';
import { Sandboxes } from './lifecycle/sandboxes.ts';
import { createNetwork } from './network/index.ts';
import { EventStreams } from './server/events.ts';
import { listenAt, runnerServer } from './server/server.ts';
import { BtrfsDisks, chooseDisks } from './storage/index.ts';
import { LocalVolumes, S3Volumes, Volumes } from './volumes/index.ts';

declare const PADDOCK_VERSION: string;
const VERSION = typeof PADDOCK_VERSION === 'string' ? PADDOCK_VERSION : '0.0.0-dev';

/** Trying again will not help; the message says what the operator should do. */
export class RefusedToStart extends Error {}

export interface RunningRunner {
  /** Finishes what is in progress and lets go of everything; sandboxes go on running. */
  close(): Promise<void>;
}

export async function runRunner(config: PaddockConfig, log: Logger): Promise<RunningRunner> {
  const since = performance.now();
  const layout = layoutOf(config.dataDir, config.runRoot);
  mkdirSync(layout.runDir, { recursive: true, mode: 0o755 });
  const engine = orRefuse(() => findEngine());
  const cgroups = orRefuse(() => openCgroups(layout.cgroup));
  const socketGid = groupOf(config.serviceUser);
  const events = new EventStreams();

  const disks = chooseDisks({ layout, sizeGiB: config.pool.sizeGiB, device: config.pool.device, log });
  const network = createNetwork({ layout, config: config.network, log });
  const [guest] = await Promise.all([prepareGuest(layout), disks.open(), network.open()]);
  // This server's own registry has no TLS, also where it listens at an address of the network.
  const registries = { ...config.registries, insecure: [...config.registries.insecure, ownAddress(config)] };
  const images = new Images({
    disks, templates: disks.templates, log,
    onChange: (image) => {
      if (image.state !== 'ready') publications.forget(image.name);
      events.publish({ type: 'image', image });
    },
  });
  const publications = new Publications({ images, settings: registries, publish: events.publish, log });
  images.register('recipe', new RecipeMaker({ config: config.image, cacheDir: process.env['PADDOCK_IMAGE_CACHE'] ?? null }));
  const registry = new RegistryMaker({ config: registries, disks });
  images.register('registry', registry);
  await images.open();

  const volumes = new Volumes({
    stores: {
      local: new LocalVolumes({
        poolDir: disks.poolDir, subvolumes: disks instanceof BtrfsDisks, quotaBytes: config.volumes.sizeGiB * GIB,
        freeBytes: async () => disks.usage().then(({ totalBytes, usedBytes }) => totalBytes - usedBytes),
      }),
      s3: new S3Volumes({
        poolDir: disks.poolDir, runDir: layout.runDir, subvolumes: disks instanceof BtrfsDisks, cacheBytes: config.volumes.sizeGiB * GIB,
        isMounted: (id) => sandboxes.mountsVolume(id),
      }),
    },
    isUsed: (id) => sandboxes.hasVolume(id),
  });
  await volumes.open();

  const exits = new ExitWatch();
  const runtime = new Runtime(engine, join(layout.runDir, 'runc'));
  const launcher = new Launcher({ layout, runtime, cgroups, exits, guest, socketGid });
  const parts: Parts = {
    disks, network, volumes, images, cgroups, runtime, launcher, exits, log, records: new Records(disks.recordsDir), publish: events.publish,
  };
  const sandboxes = new Sandboxes(parts);
  images.register('sandbox', new SandboxMaker(sandboxes, disks));
  const transfers = new Transfers({
    sandboxes, disks, log, publish: events.publish,
    templateOf: (name) => images.ofSandbox(name)?.disk ?? null,
    openBlobs: async (access) => (await import('@paddock/store')).openBlobs(access),
  });
  const recovered = await recover(parts, layout, sandboxes);
  images.needs(() => sandboxes.imagesInUse());
  void images.collect();
  await collectGuests(layout, sandboxes.guestsInUse().add(guest.version));

  const builder = new Builder({ sandboxes, disks, cgroups, layout, images, log, config: config.builds, registry });
  images.register('build', builder);
  await builder.open();

  const info = async (): Promise<RunnerInfo> => {
    const { totalBytes, usedBytes } = await disks.usage();
    return {
      version: VERSION,
      cpus: availableParallelism(),
      memoryGiB: rounded(totalmem() / GIB),
      diskGiB: rounded(totalBytes / GIB),
      diskUsedGiB: rounded(usedBytes / GIB),
      sandboxesStarted: sandboxes.startedCount - sandboxes.listInternal().filter(({ state }) => state === 'started').length,
    };
  };
  const server = runnerServer({ sandboxes, transfers, volumes, events, info, images, publications, inspect: (reference, auth, signal) => inspect(registries, reference, auth, signal), version: VERSION, log });
  await listenAt(server, layout.runnerSocket, socketGid);
  log.info({ ...recovered, engine: engine.path, cgroups: cgroups.version, instance: layout.instance, ms: Math.round(performance.now() - since) }, 'runner is ready');

  const stopKeeping = keepMade(images, config.image.default, (reason, retryMs) => log.error({ image: config.image.default, reason, retryMs }, 'the default image could not be made'));

  return {
    close: async () => {
      server.close();
      events.close();
      server.closeIdleConnections();
      await transfers.close();
      await publications.close();
      await sandboxes.idle();
      stopKeeping();
      builder.close();
      await images.close();
      const last = sandboxes.startedCount === 0;
      await volumes.close();
      await network.close(last);
      await disks.close();
      if (last) cgroups.removeParent();
      exits.close();
      log.info({ sandboxesLeft: sandboxes.startedCount }, 'runner stopped');
    },
  };
}

function orRefuse<T>(find: () => T): T {
  try {
    return find();
  } catch (error) {
    throw new RefusedToStart((error as Error).message);
  }
}

/** Primary group of a user; root's where the user does not exist, as in a development checkout. */
function groupOf(user: string): number {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , , gid] = line.split(':');
    if (name === user) return Number(gid);
  }
  return 0;
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
