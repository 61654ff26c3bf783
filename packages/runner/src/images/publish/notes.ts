/**
 * What layers and template disks became when they were published: one small file each. Their files never change, and the same files
 * make the same blob, so a registry that has it, or another repository of it, needs nothing sent again, and what comes back from there is known. A note goes before its layer
 * does; one that is lost or damaged costs the work.
 */
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DIGEST, parseReference, sameHost } from '../../registry-client/index.ts';
import type { LayerBlob } from './layer-job.ts';

export interface Note extends LayerBlob {
  /** `host/repository` that took it last. */
  readonly repository: string;
}

const SUFFIX = '.json';
const UNFINISHED = '.new';
/** Names of layers have no dot. */
const DISK = 'disk.';

export const noteOfDisk = (disk: string): string => `${DISK}${disk}`;

export class Notes {
  readonly #dir: string;
  /** diffID → name of a layer that has it in registries. Only ever a hint: the note itself says. */
  readonly #byDiffId = new Map<string, string>();

  /** @param dir of its own */
  constructor(dir: string) {
    this.#dir = dir;
  }

  open(): void {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    for (const file of readdirSync(this.#dir)) {
      const name = file.slice(0, -SUFFIX.length);
      const note = file.endsWith(SUFFIX) ? this.get(name) : null;
      if (note !== null) this.#index(name, note);
    }
  }

  /** A layer of this runner that is the same as the blob, by whatever name. @param host of the registry that took it */
  layerOf({ diffId, digest, size }: Pick<LayerBlob, 'diffId' | 'digest' | 'size'>, host: string): string | null {
    const name = this.#byDiffId.get(diffId);
    const note = name === undefined ? null : this.get(name);
    const same = note !== null && note.diffId === diffId && note.digest === digest && note.size === size && sameHost(parseReference(note.repository).host, host);
    return same ? name! : null;
  }

  /** @param name of a layer, or `noteOfDisk` */
  get(name: string): Note | null {
    try {
      const note = JSON.parse(readFileSync(this.#path(name), 'utf8')) as Note;
      return DIGEST.test(note.diffId) && DIGEST.test(note.digest) && Number.isSafeInteger(note.size) && typeof note.repository === 'string' ? note : null;
    } catch {
      return null;
    }
  }

  set(name: string, note: Note): void {
    const path = this.#path(name);
    writeFileSync(`${path}${UNFINISHED}`, `${JSON.stringify(note)}\n`, { mode: 0o600 });
    renameSync(`${path}${UNFINISHED}`, path);
    this.#index(name, note);
  }

  forget(name: string): void {
    rmSync(this.#path(name), { force: true });
  }

  /** Removes those of what is not needed, and what a killed runner left unfinished. */
  collect(isNeeded: (name: string) => boolean): void {
    for (const file of readdirSync(this.#dir)) {
      if (!file.endsWith(SUFFIX) || !isNeeded(file.slice(0, -SUFFIX.length))) rmSync(join(this.#dir, file), { force: true });
    }
  }

  #index(name: string, { diffId }: Note): void {
    if (!name.startsWith(DISK)) this.#byDiffId.set(diffId, name);
  }

  #path(name: string): string {
    return join(this.#dir, `${name}${SUFFIX}`);
  }
}
