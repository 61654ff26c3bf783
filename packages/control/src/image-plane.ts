import type { ControlContext } from './context.ts';
import type { Domain } from './http/index.ts';
import { RegistryShelf } from './docker-registry/index.ts';
import { followLog, hostOf, ImagePublisher, ImageReconciler, publishes, type BuildContexts, type RegistryCredentials } from './images/index.ts';
import { followImages, type ImageFollower, type RunnerClient } from './runners/index.ts';
import type { Sandbox } from './sandboxes/index.ts';
import { BuildLogUrls, logRoutes, SnapshotPulls } from './snapshots/index.ts';

/** What brings images into the runner's store: reconciler, look-ups in registries, build logs. */
export interface ImagePlane {
  readonly domain: Domain;
  readonly follower: ImageFollower;
  readonly publisher: ImagePublisher;
  start(): void;
  stop(): void;
}

interface SandboxLookups {
  readonly sandboxes: { byId(id: string): Promise<Sandbox | null> };
  readonly findSandbox: (organizationId: string, idOrName: string) => Promise<Sandbox>;
}

/** The runner fetches contexts when it begins; a build that waits for its turn has this long. */
const CONTEXT_URL_SECONDS = 6 * 3_600;

export async function createImagePlane(context: ControlContext, runner: RunnerClient, { sandboxes, findSandbox }: SandboxLookups): Promise<ImagePlane> {
  const { db, images, snapshots, organizations, registry, settings, config, log } = context;
  const credentials = credentialsOf(context);
  const shelf = new RegistryShelf(registry);
  const reconciler = new ImageReconciler({ db, images, runner, credentials, contexts: contextsOf(context), published: shelf, shelf, publishing: publishes(config), log });
  const publisher = new ImagePublisher({ db, images, runner, shelf, enabled: publishes(config), log });
  images.useReconciler(reconciler);
  const pulls = new SnapshotPulls({
    db, snapshots, images, runner, credentials, log, maxSizeGiB: async (id) => (await organizations.rules(id))?.maxSnapshotSizeGiB ?? 0,
  });
  snapshots.onRemoved(({ organization_id: organizationId, image_name: imageName }) => {
    // What was pushed here for a snapshot goes with the last one made of it. The row is gone: what fails here only costs room.
    if (imageName === null) return;
    snapshots.canCleanUpImage(imageName).then((can) => (can ? registry.remove(organizationId, imageName) : undefined)).catch((error: unknown) => {
      log.warn({ image: imageName, err: error }, 'the image of a removed snapshot could not be dropped from the registry');
    });
  });
  const follower = followImages(runner, reconciler, log);
  const urls = new BuildLogUrls(await settings.secret('build-logs'), config.publicUrl);
  const view = ({ id, image, buildInfo }: Sandbox) => ({ id, image, built: buildInfo !== null });
  return {
    domain: (api) => logRoutes(api, {
      snapshots, urls,
      log: (image, follow, signal) => followLog({ images, runner }, image, follow, signal),
      findSandbox: async (organizationId, idOrName) => view(await findSandbox(organizationId, idOrName)),
      async imageOfSandbox(id) {
        const sandbox = await sandboxes.byId(id);
        return sandbox?.buildInfo ? sandbox.image : null;
      },
    }),
    follower,
    publisher,
    start() {
      reconciler.start();
      publisher.start();
      pulls.start();
    },
    stop() {
      follower.stop();
      reconciler.stop();
      publisher.stop();
      pulls.stop();
    },
  };
}

function credentialsOf({ config, dockerRegistries, registry }: ControlContext): RegistryCredentials {
  const publicHost = new URL(config.publicUrl).host;
  // By the names that are ours beyond doubt: a Dockerfile must not be able to send our credentials elsewhere.
  const isOurs = (host: string) => host === publicHost || /^(localhost|127\.0\.0\.1|\[::1\])$/.test(host.replace(`:${config.port}`, ''));
  return {
    access: async (organizationId, reference) => (await registry.pullAccess(organizationId, reference)) ?? { reference, auth: await dockerRegistries.authFor(organizationId, hostOf(reference)) },
    async authsFor(organizationId, references) {
      const hosts = [...new Set(references.map(hostOf))].filter((host) => host.includes(':') && isOurs(host));
      const own = hosts.length > 0 ? await registry.accessFor(organizationId, `${organizationId}/`, ['pull']) : null;
      return [...(await dockerRegistries.authsFor(organizationId)), ...hosts.flatMap((host) => (own ? [{ ...own, host }] : []))];
    },
  };
}

function contextsOf({ objects }: ControlContext): BuildContexts {
  return {
    async urlOf(organizationId, hash) {
      const key = `${organizationId}/${hash}/context.tar`;
      return (await objects.blobs().head(key)) ? objects.urlFor(key, CONTEXT_URL_SECONDS) : null;
    },
  };
}
