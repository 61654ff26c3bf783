/** Images in the runner's store, as the control plane wants them. */
export { buildReference, type BuildRequest, type Image } from './image.ts';
export { followLog } from './log.ts';
export { Images } from './images.ts';
export { ImageReconciler, type ImageReconcilerDeps } from './reconciler.ts';
export { entrypointOf, hostOf, IDLE_ENTRYPOINT, imageNameProblem, isSnapshotName, runnableEntrypoint, startedEntrypoint } from './references.ts';
export { isPublishable } from './publication.ts';
export { ImagePublisher, publishes, type ImageShelf } from './publisher.ts';
export type { BuildContexts, PublishedImages, RegistryCredentials } from './sources.ts';
