/** What the runner remembers of each image: one JSON file in the pool. Its presence says that every layer it names is whole and on disk. */
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

  /** On disk when it returns. */
  async write(record: ImageRecord | FailureRecord): Promise<void> {
    const path = this.#path(record.name);
    const file = await open(`${path}${UNFINISHED}`, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(record, null, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}${UNFINISHED}`, path);
    await this.#sync();
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
