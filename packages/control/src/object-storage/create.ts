import { chownSync, mkdirSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { PaddockConfig } from '@paddock/contract';
import type { Settings } from '../settings/index.ts';
import { StartRefused } from '../start-refused.ts';
import { EmbeddedObjectStore } from './embedded.ts';
import { ExternalObjectStore } from './external.ts';
import type { ObjectStore } from './object-store.ts';

/** @throws StartRefused */
export function createObjectStore(config: PaddockConfig, settings: Settings, blobRoot: string): ObjectStore {
  return config.objectStore.endpoint === null ? new EmbeddedObjectStore(config, settings, blobRoot) : new ExternalObjectStore(config.objectStore);
}

/**
 * Makes the directory of the embedded store while this process is still root and gives it to the service user. The data directory above lets
 * only root pass, so the store is reached through an open descriptor. @returns path that works before and after privileges are dropped
 * @throws StartRefused when the blobs belong to somebody else
 */
export function prepareBlobRoot(directory: string, user: { readonly uid: number; readonly gid: number } | null): string {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (user === null) return directory;
  const owner = statSync(join(directory, 'tree'), { throwIfNoEntry: false })?.uid ?? user.uid;
  if (owner !== user.uid) throw new StartRefused(`${directory} belongs to the user with the number ${owner}. Set PADDOCK_SERVICE_USER to its name.`);
  chownSync(directory, user.uid, user.gid);
  return `/proc/self/fd/${openSync(directory, 'r')}`;
}
