import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What a disk may be charged beyond its size. The kernel charges an extent to the subvolume that wrote it until nobody refers to it any
 * more, so:
 * - a disk whose snapshot lives pays for what only the snapshot still has, and could never use its own deleted space again. It may
 *   therefore be charged again what it was charged at its latest living snapshot;
 * - a disk rebuilt from an archive has written what it once got from a snapshot for nothing, and keeps that for nothing.
 */
export class Allowances {
  readonly #dir: string;
  /** Template → whose space it holds on to. */
  readonly #templates = new Map<string, Held>();
  readonly #rebuilt = new Map<string, number>();

  /** @param dir one small file for each disk that was rebuilt */
  constructor(dir: string) {
    this.#dir = dir;
  }

  open(): void {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    for (const id of readdirSync(this.#dir)) this.#rebuilt.set(id, Number(readFileSync(join(this.#dir, id), 'utf8')) || 0);
  }

  holds(template: string, held: Held): void {
    this.#templates.set(template, held);
  }

  /** What was charged to its disk when the template was made. */
  heldBy(template: string): number {
    return this.#templates.get(template)?.chargedBytes ?? 0;
  }

  released(template: string): void {
    this.#templates.delete(template);
  }

  grant(id: string, bytes: number): void {
    if (bytes <= 0) return this.revoke(id);
    writeFileSync(join(this.#dir, id), String(bytes), { mode: 0o600 });
    this.#rebuilt.set(id, bytes);
  }

  revoke(id: string): void {
    if (!this.#rebuilt.delete(id)) return;
    rmSync(join(this.#dir, id), { force: true });
  }

  granted(id: string): number {
    return this.#rebuilt.get(id) ?? 0;
  }

  /** @param subvolume of the disk now: one that was rebuilt is another */
  of(id: string, subvolume: bigint): number {
    if (this.#templates.size === 0 && this.#rebuilt.size === 0) return 0;
    const held = [...this.#templates.values()].filter((template) => template.subvolume === String(subvolume)).map((template) => template.chargedBytes);
    return Math.max(0, ...held) + this.granted(id);
  }
}

export interface Held {
  /** Id of the subvolume that the template was made of. */
  readonly subvolume: string;
  readonly chargedBytes: number;
}
