/** What the runner remembers of each image: one JSON file in the pool. Its presence says that every layer it names is whole. */
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { IMAGE_NAME } from '@paddock/contract';
import type { LayerInfo } from './layers.ts';
import type { RecordedConfig } from './maker.ts';

export interface ImageRecord {
  readonly name: string;
  /** Names of directories in the layers directory, topmost first. */
  readonly layers: readonly string[];
  /** By layer. A record of version 0.1 has none: its one layer is as large as the image. */
  readonly layerInfo?: Readonly<Record<string, LayerInfo>>;
  /** Template disk; absent like null. */
  readonly disk?: string | null;
  readonly sizeBytes: number;
  readonly config: RecordedConfig;
  readonly origin: Readonly<Record<string, unknown>>;
  /**
   * Boot (its random id) in which the layers were written and not yet flushed to the device. As long as that kernel runs they are whole,
   * whatever becomes of the runner; after a power failure they may not be. Absent: they are on disk.
   */
  readonly unflushed?: string;
  /** Deleted, but sandboxes that stand on it remain: nobody new may use it. */
  readonly hidden?: boolean;
}

/** An image that could not be made, so that its reason outlives the runner. */
export interface FailureRecord {
  readonly name: string;
  readonly failed: { readonly reason: string; readonly transient: boolean };
}

const SUFFIX = '.json';
const UNFINISHED = '.new';

export class ImageRecords {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** @returns what can be read, and the names of files that cannot */
  readAll(): { readonly records: ReadonlyArray<ImageRecord | FailureRecord>; readonly unreadable: readonly string[] } {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    const records: Array<ImageRecord | FailureRecord> = [];
    const unreadable: string[] = [];
    for (const file of readdirSync(this.#dir)) {
      if (file.endsWith(UNFINISHED)) rmSync(join(this.#dir, file), { force: true });
      if (!file.endsWith(SUFFIX)) continue;
      try {
        const record = JSON.parse(readFileSync(join(this.#dir, file), 'utf8')) as ImageRecord | FailureRecord;
        if (record.name !== file.slice(0, -SUFFIX.length) || !IMAGE_NAME.test(record.name)) throw new Error('not a record of this image');
        if (!('failed' in record) && !(Array.isArray(record.layers) && typeof record.config === 'object')) throw new Error('not a record of an image');
        records.push(record);
      } catch {
        unreadable.push(file);
      }
    }
    return { records, unreadable };
  }

  /** On disk when it returns, unless what it names is not either. */
  async write(record: ImageRecord | FailureRecord): Promise<void> {
    const path = this.#path(record.name);
    const flushed = !('unflushed' in record);
    const file = await open(`${path}${UNFINISHED}`, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(record, null, 2)}\n`);
      if (flushed) await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}${UNFINISHED}`, path);
    if (flushed) await this.#sync();
  }

  /** On disk when it returns: layers go after the last record that named them. */
  async remove(name: string): Promise<void> {
    await rm(this.#path(name), { force: true });
    await this.#sync();
  }

  async #sync(): Promise<void> {
    const dir = await open(this.#dir, 'r');
    try {
      await dir.sync();
    } finally {
      await dir.close();
    }
  }

  #path(name: string): string {
    return join(this.#dir, `${name}${SUFFIX}`);
  }
}

/** Random, new with each start of the kernel. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
