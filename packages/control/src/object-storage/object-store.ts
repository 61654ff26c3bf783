import type { ObjectAccess } from '@paddock/contract';
import type { Blobs, ObjectScope } from '@paddock/store';
import type { ClientOrigin } from '../http/client-origin.ts';

export type { ClientOrigin };

/**
 * The installation's blobs, on its disk or in an external S3: one bucket, shared by all domains under prefixes of their own.
 *
 * | prefix              | holds                                             |
 * |---------------------|---------------------------------------------------|
 * | `<organization id>/`| build contexts, written by clients                |
 * | `registry/`         | images of the internal registry                   |
 * | `archives/`         | disks of archived sandboxes, backups              |
 * | `volumes/`          | contents of S3 volumes, `volumes/<volume id>/`    |
 */
export interface ObjectStore {
  /** For the control plane itself: the whole bucket. */
  blobs(): Blobs;
  /** For others: keys below one prefix. `runner`: at an address that the runner reaches. @throws StatusError 503 when there is no way to give such access away */
  accessFor(scope: ObjectScope, reachableFrom: 'runner' | ClientOrigin): Promise<ObjectAccess>;
  /** A URL that the runner may GET for so many seconds. Says nothing about whether there is such a blob. */
  urlFor(key: string, expiresInSeconds: number): Promise<string>;
}
