import { closeSync } from 'node:fs';
import { Refusal, STATUS } from './status.ts';

export interface OpenFile {
  readonly kind: 'file';
  readonly fd: number;
  /** Every write goes to the end, whatever offset it names. */
  readonly appends: boolean;
}

export interface OpenFolder {
  readonly kind: 'folder';
  readonly path: Buffer;
  /** Names that have not been told yet. */
  names: Buffer[];
}

/** Open at a time. A sandbox's processes may hold some more descriptors than this each. */
const MAX_HANDLES = 512;

/** What one client has open. A handle is four bytes that mean something only here. */
export class Handles {
  readonly #open = new Map<number, OpenFile | OpenFolder>();
  #next = 0;

  /** Throws before something is opened that could not be kept. */
  reserve(): void {
    if (this.#open.size >= MAX_HANDLES) throw new Refusal(STATUS.failure, 'Too many open files');
  }

  add(entry: OpenFile | OpenFolder): Buffer {
    const id = this.#next++ >>> 0;
    this.#open.set(id, entry);
    const handle = Buffer.alloc(4);
    handle.writeUInt32BE(id);
    return handle;
  }

  file(handle: Buffer): OpenFile {
    const entry = this.#find(handle);
    if (entry?.kind !== 'file') throw new Refusal(STATUS.failure, 'Bad handle');
    return entry;
  }

  folder(handle: Buffer): OpenFolder {
    const entry = this.#find(handle);
    if (entry?.kind !== 'folder') throw new Refusal(STATUS.failure, 'Bad handle');
    return entry;
  }

  close(handle: Buffer): void {
    const entry = this.#find(handle);
    if (entry === undefined) throw new Refusal(STATUS.failure, 'Bad handle');
    this.#open.delete(handle.readUInt32BE(0));
    if (entry.kind === 'file') closeSync(entry.fd);
  }

  closeAll(): void {
    for (const entry of this.#open.values()) if (entry.kind === 'file') closeSync(entry.fd);
    this.#open.clear();
  }

  #find(handle: Buffer): OpenFile | OpenFolder | undefined {
    return handle.length === 4 ? this.#open.get(handle.readUInt32BE(0)) : undefined;
  }
}
