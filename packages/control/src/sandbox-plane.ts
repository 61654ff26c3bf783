import { tellParent, type RunnerEvent, type RunnerInfo } from '@paddock/contract';
import type { GatewayBackend, SshBackend } from '@paddock/gateway';
import type { ControlContext } from './context.ts';
import { createEventSockets, Publisher, type EventSockets } from './events/index.ts';
import type { Domain } from './http/index.ts';
import { createImagePlane, type ImagePlane } from './image-plane.ts';
import type { Image } from './images/index.ts';
import { createRunnerClient, followRunnerEvents } from './runners/index.ts';
import {
  Activity, ArchiveKeeper, ArchiveStore, Changes, Clocks, ClockStore, createGatewayBackend, DiskOperations, DiskSteps, isSettled, isWarm, Lifecycle, ListStore, Previews, PreviewStore, Properties, Reconciler,
  sandboxRoutes, SandboxStore, SshAccesses, SshStore, toDto, toListItem, usageSource, type Sandbox, type WarmSource,
} from './sandboxes/index.ts';
import { VolumeKeeper, volumeRoutes, Volumes } from './volumes/index.ts';
import { WarmPool, warmKeyOf } from './warm-pool/index.ts';

/** Everything about sandboxes in this process: routes, reconciler, clocks, warm pool, events, and what the gateway asks for. */
export interface SandboxPlane {
  readonly domain: Domain;
  readonly sockets: EventSockets;
  readonly gatewayBackend: GatewayBackend;
  readonly sshBackend: SshBackend;
  /** After the schema is up to date; the API may serve before it returns. */
  start(): Promise<void>;
  /** Finishes what is in progress as far as that is quick; the rest is picked up by the next start. */
  stop(): Promise<void>;
}

/** A runner's size hardly changes; readers within this time share an answer. */
const INFO_FRESH_MS = 10_000;

export async function createSandboxPlane(context: ControlContext): Promise<SandboxPlane> {
  const { announcer, config, layout, db, auth, log, organizations, regions, snapshots } = context;
  const { origin } = announcer;
  /** One runner a machine; its rows are told apart by the instance. */
  const runnerId = `runner-${layout.instance}`;
  const toolboxProxyUrl = `${config.publicUrl}/toolbox`;

  const changes = new Changes((error) => log.error({ err: error }, 'a change could not be told to everyone'));
  const store = new SandboxStore(db, origin, (change) => changes.publish(change));
  const clockStore = new ClockStore(db);
  const previewStore = new PreviewStore(db);
  const runner = createRunnerClient(layout.runnerSocket);
  const keeper = new VolumeKeeper({ db, announcer, runner, objects: context.objects, log });
  const volumes = new Volumes({ db, announcer, organizations, driver: config.volumes.driver, drive: (id) => keeper.drive(id) });
  organizations.useVolumeCount((organizationId) => volumes.count(organizationId));
  const activity = new Activity(clockStore, log);
  const clocks = new Clocks({ store, clockStore, activity, log });
  // The images' plane is made of what is made here.
  let imagePlane: ImagePlane;
  const diskSteps = new DiskSteps({ runner, images: context.images, publications: { awaits: (image) => imagePlane.publisher.awaits(image), isRunning: (name) => imagePlane.publisher.isRunning(name) }, objects: context.objects, runnerId });
  const archiveKeeper = new ArchiveKeeper({ store: new ArchiveStore(db), objects: context.objects, log });
  const reconciler = new Reconciler({ db, store, runner, images: context.images, diskSteps, runnerId, log });
  const sockets = createEventSockets((token) => auth.authenticate(token));

  // The pool is made after the lifecycle whose rows it inserts.
  let pool: WarmPool;
  const warm: WarmSource = {
    serves: (snapshot) => pool.serves(snapshot),
    keyOf: warmKeyOf,
    whileCreating: (create) => pool.whileCreating(create),
  };
  const lifecycle = new Lifecycle({
    config, db, images: context.images, organizations, regions, snapshots, volumes, store, changes, runner, runnerId, warm, startTrace: (id) => reconciler.takeTrace(id), log,
  });
  pool = new WarmPool({
    db, store, changes, sizes: config.warmPool, prepare: (snapshot) => lifecycle.prepareWarm(snapshot, config.region), log,
  });
  const find = lifecycle.find.bind(lifecycle);
  const diskOperations = new DiskOperations({ find, store, changes, organizations, snapshots, images: context.images });
  const properties = new Properties({ db, store, runner, find, clocksChanged: () => clocks.wake() });
  const previews = new Previews({ config, store: previewStore, find });
  const sshAccesses = new SshAccesses({ config, store: new SshStore(db, origin), find, byId: (id) => store.byId(id) });

  const view = (sandbox: Sandbox): Sandbox => {
    const used = activity.since(sandbox.id);
    return used && used > sandbox.lastActivityAt ? { ...sandbox, lastActivityAt: used } : sandbox;
  };
  const shown = (sandbox: Sandbox) => toDto(view(sandbox), { toolboxProxyUrl });

  const publisher = new Publisher({
    db, origin, log,
    load: (id) => store.byId(id),
    send(organizationId, event, detail, sandbox) {
      if (!sockets.hasAudience(organizationId)) return;
      sockets.emit(organizationId, event, event === 'sandbox.created' ? shown(sandbox) : { sandbox: shown(sandbox), ...detail });
    },
    announce: (organizationId, event, payload) => sockets.emit(organizationId, event, payload),
    changedElsewhere: (sandbox) => changes.publish({ sandbox, events: [] }),
  });

  announcer.usePublisher((announcement) => publisher.announce(announcement));

  changes.subscribe((change) => {
    const { sandbox } = change;
    if (!isSettled(sandbox.state, sandbox.desiredState)) reconciler.wake(sandbox.id, sandbox);
    // One that waited in the pool failed or died: the pool sees what is left of it.
    else if (isWarm(sandbox) && sandbox.state !== 'started') pool.wake();
    if (sandbox.state === 'destroyed' && sandbox.volumes.length > 0) keeper.wake();
    publisher.publish(change);
    if (change.before?.archiveId && (change.before.archiveId !== sandbox.archiveId || sandbox.state === 'destroyed')) archiveKeeper.wake();
    if (sandbox.state === 'destroyed') context.images.collect();
  });
  const gatewayBackend = createGatewayBackend({
    store, previewStore, previews, changes, activity, auth, cookieKey: await context.settings.secret('preview-cookie'),
    report: (failure) => log.info(failure, 'gateway request failed'),
  });

  let info: { readonly at: number; readonly value: RunnerInfo | null } = { at: -Infinity, value: null };
  async function runnerInfo(): Promise<RunnerInfo | null> {
    if (performance.now() - info.at < INFO_FRESH_MS) return info.value;
    const asked = await runner.info();
    info = { at: performance.now(), value: asked.ok ? asked.value : null };
    return info.value;
  }
  organizations.useUsageSource(usageSource(db, runnerInfo));

  imagePlane = await createImagePlane(context, runner, { sandboxes: store, findSandbox: find });
  const tellUsable = (image: Image | null): void => {
    if (image?.name === config.image.default && image.state === 'ready') tellParent({ type: 'usable' });
  };
  context.images.onChanged((image) => {
    tellUsable(image);
    if (image.state === 'ready') pool.wake();
    reconciler.imageChanged(image);
    if (image.source.kind === 'sandbox') reconciler.wake(image.source.sandboxId);
  });

  function heard(event: RunnerEvent): void {
    if (event.type === 'sandbox.exited') reconciler.exited(event.id);
    else if (event.type === 'image') imagePlane.follower.changed(event.image);
    else if (event.type === 'transfer') reconciler.transferEnded(event.transfer);
    else if (event.type === 'publication') imagePlane.publisher.ended(event.publication);
    else {
      connected = true;
      reconciler.compare();
      keeper.compare();
      imagePlane.follower.sync();
    }
  }

  let connected = false;
  let unfollow = (): void => {};
  context.readiness.add('runner', async () => {
    if (!connected) return 'has not been reached yet';
    const asked = await runner.info();
    return asked.ok ? null : asked.failure.message;
  });

  return {
    domain: (api) => {
      imagePlane.domain(api, context);
      volumeRoutes(api, { volumes });
      sandboxRoutes(api, {
      lifecycle, diskOperations, properties, previews, sshAccesses, activity, lists: new ListStore(db), toolboxProxyUrl, toDto: shown,
        toListItem: (sandbox) => toListItem(view(sandbox), { toolboxProxyUrl }),
      });
    },
    sockets,
    gatewayBackend,
    sshBackend: {
      sandboxes: gatewayBackend,
      access: (token) => sshAccesses.access(token),
      onRevoked: (listener) => sshAccesses.onRevoked(listener),
      remaining: (accessIds) => sshAccesses.remaining(accessIds),
      report: (event) => log.info(event, 'SSH connection ended'),
    },
    async start() {
      await publisher.start();
      await sshAccesses.start();
      reconciler.start();
      keeper.start();
      archiveKeeper.start();
      clocks.start();
      pool.start();
      imagePlane.start();
      unfollow = followRunnerEvents(layout.runnerSocket, heard);
      tellUsable(await context.images.get(config.image.default));
    },
    async stop() {
      unfollow();
      imagePlane.stop();
      await Promise.all([pool.stop(), clocks.stop(), sockets.close()]);
      await reconciler.stop();
      await keeper.stop();
      await archiveKeeper.stop();
      await activity.flush();
      await publisher.stop();
      sshAccesses.stop();
      runner.close();
    },
  };
}
