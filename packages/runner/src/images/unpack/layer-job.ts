/** What main thread and worker say to each other about one layer. */
import type { MessagePort } from 'node:worker_threads';
import type { RegistryAuth } from '@paddock/contract';
import type { Descriptor, RegistryFailure, RegistrySettings } from '../../registry-client/index.ts';

export interface LayerJob {
  /** Empty directory that becomes the layer; null: nothing is written, digests alone are verified. */
  readonly dir: string | null;
  /** `sha256:<hex>` of the uncompressed tar. */
  readonly diffId: string;
  readonly source: RegistrySource | StreamSource;
  readonly limits: LayerLimits;
  /** See Counters. */
  readonly counters: SharedArrayBuffer;
}

export interface RegistrySource {
  readonly kind: 'registry';
  readonly reference: string;
  readonly auth: RegistryAuth | null;
  readonly settings: RegistrySettings;
  /** Tokens that an earlier request got. */
  readonly authorizations: ReadonlyMap<string, string>;
  readonly blob: Descriptor;
}

/** The main thread sends the bytes through the port; null is the end. For each it gets a `more` when the worker has room again. */
export interface StreamSource {
  readonly kind: 'stream';
  readonly port: MessagePort;
}

export interface LayerLimits {
  /** Of all that share the counters. */
  readonly bytes: number;
  readonly entries: number;
}

export type LayerReport =
  | { readonly type: 'done'; readonly sizeBytes: number; readonly implied: readonly string[]; readonly skippedDevices: number }
  /** `layer`: it is not what it may be. `registry`: see RegistryError. `system`: anything else, such as ENOSPC. */
  | { readonly type: 'failed'; readonly what: 'layer' | 'registry' | 'system'; readonly message: string; readonly failure?: RegistryFailure; readonly code?: string };

/** Counters that all layers of an image share with the main thread. */
export class Counters {
  readonly buffer: SharedArrayBuffer;
  readonly #values: BigInt64Array;

  constructor(buffer = new SharedArrayBuffer(3 * 8)) {
    this.buffer = buffer;
    this.#values = new BigInt64Array(buffer);
  }

  /** Bytes of blobs that came in. */
  get downloaded(): number {
    return Number(Atomics.load(this.#values, 0));
  }

  addDownloaded(bytes: number): void {
    Atomics.add(this.#values, 0, BigInt(bytes));
  }

  /** @returns bytes of files so far */
  addBytes(bytes: number): number {
    return Number(Atomics.add(this.#values, 1, BigInt(bytes))) + bytes;
  }

  addEntries(entries: number): number {
    return Number(Atomics.add(this.#values, 2, BigInt(entries))) + entries;
  }

  get bytes(): number {
    return Number(Atomics.load(this.#values, 1));
  }
}
