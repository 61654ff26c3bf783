/** An image as the rest of the runner and the control plane see it, from its record. */
import type { RunnerImage } from '@paddock/contract';
import type { Image } from '../types.ts';
import type { ImageRecord } from './image-records.ts';
import { readAccounts } from './users.ts';

/**
 * @param layers absolute directories, topmost first
 * @param upper directory of the template disk's files, which lie above the layers
 */
export function loadImage(record: ImageRecord, layers: readonly string[], upper: string | null): Image {
  // A record of version 0.1 has fewer fields.
  const config = { ...NOTHING, ...record.config };
  const accounts = readAccounts(upper === null ? layers : [upper, ...layers]);
  return {
    name: record.name, layers, disk: record.disk ?? null, sizeBytes: record.sizeBytes,
    config: { ...config, ...accounts },
  };
}

export const NOTHING = { env: [], workDir: null, entrypoint: null, cmd: null, user: null, labels: {} } as const;

export function shownImage({ name, sizeBytes, config }: ImageRecord): RunnerImage {
  const { entrypoint, cmd, workDir, user } = { ...NOTHING, ...config };
  return { name, state: 'ready', sizeBytes, config: { entrypoint, cmd, workDir, user } };
}
