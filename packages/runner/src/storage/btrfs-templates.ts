import { closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RunnerError } from '../runner-error.ts';
import type { Allowances } from './allowances.ts';
import { chargedBytes, snapshotSubvolume, subvolumeId } from './btrfs.ts';

/** Names in a template's directory. A read-only subvolume cannot be renamed, its directory can. */
export const SUBVOLUME = 'disk';
const HELD = 'held.json';

/** Read-only snapshots of disks: `<dir>/<name>/disk`, with `upper` and `work` as the disk had them. */
export class BtrfsTemplates {
  readonly #dir: string;
  readonly #allowances: Allowances;
  readonly #discard: (path: string) => Promise<void>;

  /** @param discard takes a directory that holds a subvolume out of sight at once and deletes it */
  constructor(dir: string, allowances: Allowances, discard: (path: string) => Promise<void>) {
    this.#dir = dir;
    this.#allowances = allowances;
    this.#discard = discard;
  }

  async open(): Promise<void> {
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(this.#dir)) {
      if (!existsSync(join(this.#dir, name, SUBVOLUME))) {
        rmSync(join(this.#dir, name), { recursive: true }); // a making that was cut short
        continue;
      }
      try {
        this.#allowances.holds(name, JSON.parse(readFileSync(join(this.#dir, name, HELD), 'utf8')));
      } catch {
        // Cut short before it was written: the source's limit is then only less generous.
      }
    }
  }

  async list(): Promise<readonly string[]> {
    return readdirSync(this.#dir);
  }

  upper(name: string): string {
    return join(this.#dir, checkedTemplate(name), SUBVOLUME, 'upper');
  }

  /** Snapshot of a disk as it is at that moment. Replaces one of that name. */
  async make(name: string, disk: string): Promise<void> {
    await this.destroy(name);
    const dir = join(this.#dir, name);
    mkdirSync(dir, { mode: 0o700 });
    await between(disk, dir, (source, target) => snapshotSubvolume(source, target, SUBVOLUME, true));
  }

  /** Writes down what the source pays for from now on. Apart from `make`, which runs while the sandbox stands still. */
  charge(name: string, disk: string): void {
    const fd = openSync(disk, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const subvolume = subvolumeId(fd);
      const held = { subvolume: String(subvolume), chargedBytes: chargedBytes(fd, subvolume) };
      writeFileSync(join(this.#dir, checkedTemplate(name), HELD), JSON.stringify(held), { mode: 0o600 });
      this.#allowances.holds(name, held);
    } finally {
      closeSync(fd);
    }
  }

  /** A disk of its own that shares the template's space until it changes it. */
  async clone(name: string, disksDir: string, id: string): Promise<void> {
    const source = join(this.#dir, checkedTemplate(name), SUBVOLUME);
    if (!existsSync(source)) throw new RunnerError('IMAGE_NOT_FOUND', `The disk of the image "${name}" is not on this runner any more`);
    await between(source, disksDir, (from, into) => snapshotSubvolume(from, into, id, false));
  }

  async destroy(name: string): Promise<void> {
    const dir = join(this.#dir, checkedTemplate(name));
    this.#allowances.released(name);
    if (existsSync(dir)) await this.#discard(dir);
  }
}

async function between(source: string, target: string, act: (sourceFd: number, targetFd: number) => Promise<void>): Promise<void> {
  const sourceFd = openSync(source, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const targetFd = openSync(target, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await act(sourceFd, targetFd);
    } finally {
      closeSync(targetFd);
    }
  } finally {
    closeSync(sourceFd);
  }
}

/** A template is called like its image; the name becomes a file name. */
export function checkedTemplate(name: string): string {
  if (!/^[a-z0-9][a-z0-9._-]{0,127}$/.test(name)) throw new RunnerError('INVALID_SPEC', `Not the name of an image: ${JSON.stringify(name.slice(0, 64))}`);
  return name;
}
