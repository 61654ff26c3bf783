/**
 * The sandbox one organization's builds run in, one after the other: an ordinary one, so hostile Dockerfiles meet what hostile
 * sandboxes meet. Its disk stays for the layer cache; everything else on it is made anew for each build.
 *
 *     <disk>/upper, work   root file system, emptied before each build
 *     <disk>/store         layer cache, seen inside as /var/lib/containers
 *     <disk>/proven        layers whose content this organization has shown to have; not seen inside
 */
import { randomBytes } from 'node:crypto';
import { closeSync, constants, existsSync, fstatSync, mkdirSync, openSync, readFileSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { toolboxSocket, type Layout, type PaddockConfig, type SandboxSpec } from '@paddock/contract';
import type { Cgroups } from '../engine/cgroups.ts';
import { INTERNAL_PREFIX, type Sandboxes } from '../lifecycle/sandboxes.ts';
import { openInRoot } from '../sys/index.ts';
import type { Disks, View } from '../types.ts';
import { BASES, CACHE, RESULT, STORAGE_CONF, WORK } from './build-script.ts';
import { ToolboxRun } from './toolbox-run.ts';

export interface BuildSandboxParts {
  readonly sandboxes: Pick<Sandboxes, 'put' | 'stop' | 'remove' | 'listInternal'>;
  readonly disks: Disks;
  readonly cgroups: Pick<Cgroups, 'oomKills'>;
  readonly layout: Layout;
  readonly config: PaddockConfig['builds'];
}

/** Image that has the builder. */
export const BUILDER_IMAGE = 'builder';

const GIB = 1024 ** 3;
const STORE = 'store';
const PROVEN = 'proven';
const INPUT = WORK.slice(1);

export class BuildSandbox {
  readonly id: string;
  readonly #parts: BuildSandboxParts;
  #run: ToolboxRun | null = null;

  constructor(organizationId: string, parts: BuildSandboxParts) {
    this.id = `${INTERNAL_PREFIX}${organizationId}`;
    this.#parts = parts;
  }

  /** Empties the root. @returns directory for the input of the build; nothing hostile has been there */
  async prepare(): Promise<string> {
    const { disks, config } = this.#parts;
    const quota = config.diskGiB * GIB;
    await disks.create(this.id, quota);
    try {
      await this.#empty();
    } catch {
      // Names longer than any path, say: what cannot be emptied is thrown away, cache and all.
      await this.discard();
    }
    await disks.create(this.id, quota);
    mkdirSync(join(this.#disk, STORE), { recursive: true, mode: 0o755 });
    const input = join(this.#disk, 'upper', INPUT);
    mkdirSync(input, { mode: 0o755 });
    for (const name of ['contexts', 'bases']) mkdirSync(join(input, name), { mode: 0o755 });
    writeFileSync(join(input, 'storage.conf'), STORAGE_CONF);
    return input;
  }

  get hasCache(): boolean {
    return existsSync(join(this.#disk, STORE, 'storage'));
  }

  /** @param bases layers, topmost first, and where in the store of bases they are mounted */
  async start(bases: ReadonlyArray<{ readonly layers: readonly string[]; readonly mountPoint: string }>, signal: AbortSignal): Promise<void> {
    const { sandboxes, layout, config } = this.#parts;
    const views: View[] = [
      { kind: 'disk', directory: STORE, target: CACHE },
      ...bases.map(({ layers, mountPoint }): View => ({ kind: 'layers', layers, target: `${BASES}/${mountPoint}` })),
    ];
    const spec: SandboxSpec = {
      id: this.id, image: BUILDER_IMAGE, user: 'root', env: {}, cpu: config.cpus, memoryGiB: config.memoryGiB, diskGiB: config.diskGiB,
      network: { blockAll: false, allowList: null }, volumes: [], entrypoint: null, token: randomBytes(16).toString('hex'),
    };
    signal.throwIfAborted();
    await sandboxes.put(spec, views);
    this.#run = await ToolboxRun.open(toolboxSocket(layout, this.id), signal);
  }

  /** Runs a script of the input. @returns its exit code */
  run(script: string, onOutput: (text: string) => void): Promise<number> {
    return this.#run!.run(`sh ${WORK}/${script}`, onOutput);
  }

  /** Writes a script into the running sandbox. */
  async write(script: string, text: string): Promise<void> {
    const encoded = Buffer.from(text).toString('base64');
    if ((await this.#run!.run(`echo ${encoded} | base64 -d >${WORK}/${script}`, () => {})) !== 0) throw new Error('The build sandbox does not take its script');
  }

  /** Processes that the kernel ended for lack of memory. Ask while it runs. */
  get oomKills(): number {
    return this.#parts.cgroups.oomKills(this.id);
  }

  /** Why it ended by itself; null while it runs. */
  get ended(): string | null {
    if (this.#run === null) return null; // not started, or ended by us
    const sandbox = this.#parts.sandboxes.listInternal().find(({ id }) => id === this.id);
    return sandbox === undefined || sandbox.state === 'started' ? null : sandbox.reason ?? 'it was stopped';
  }

  /** Ends everything in it; what is on its disk no longer changes then. Idempotent. */
  async stop(): Promise<void> {
    this.#run = null;
    if (this.#parts.sandboxes.listInternal().some(({ id }) => id === this.id)) await this.#parts.sandboxes.stop(this.id, { force: true });
  }

  /** Opens a file of the result. Whoever was in the sandbox made it: any kind of file, any content. */
  openResult(name: string): { readonly fd: number; readonly size: number } {
    const root = openSync(join(this.#disk, 'upper'), constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const fd = openInRoot(root, `${INPUT}/${RESULT}/${name}`, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
      const stat = fstatSync(fd);
      if (stat.isFile()) return { fd, size: stat.size };
      closeSync(fd);
    } finally {
      closeSync(root);
    }
    throw new Error(`The result has no file ${name}`);
  }

  /** DiffIDs (hex) of layers that builds of this organization have had the content of. */
  proven(): Set<string> {
    try {
      return new Set(JSON.parse(readFileSync(join(this.#disk, PROVEN), 'utf8')) as string[]);
    } catch {
      return new Set(); // none yet, or cut short: then the content is asked for again
    }
  }

  prove(diffIds: Iterable<string>): void {
    const path = join(this.#disk, PROVEN);
    writeFileSync(`${path}.new`, JSON.stringify([...diffIds]), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /** Gives back what only this build needed, and notes when the cache was last used. */
  async tidy(): Promise<void> {
    if (!existsSync(this.#disk)) return; // a first start that failed leaves nothing
    await this.#empty();
    utimesSync(this.#disk, new Date(), new Date());
  }

  /** Throws away the sandbox with its disk, and so the cache. */
  async discard(): Promise<void> {
    await this.#parts.sandboxes.remove(this.id);
    await this.#parts.disks.destroy(this.id); // one that never was a sandbox
  }

  async #empty(): Promise<void> {
    for (const name of ['upper', 'work']) await rm(join(this.#disk, name), { recursive: true, force: true });
  }

  get #disk(): string {
    return this.#parts.disks.path(this.id);
  }
}
