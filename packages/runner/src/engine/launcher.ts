/** Brings one sandbox to life: from a mounted root and a network slot to a toolbox that answers. */
import { chmodSync, chownSync, closeSync, fstatSync, mkdirSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sandboxRunDir, toolboxSocket, type Layout, type SandboxSpec, type ToolboxInit } from '@paddock/contract';
import { runAs } from '../images/index.ts';
import { RunnerError } from '../runner-error.ts';
import type { Image, ImageUser, NetworkSlot, ShownView } from '../types.ts';
import type { Cgroups, Limits } from './cgroups.ts';
import { describeStatus, type ExitWatch, type WatchedProcess } from './exit-watch.ts';
import { fixedMemoryFile, listenUnix, raiseOpenFiles } from './kernel.ts';
import { hostDevices, mountOwnFiles, unmountOwnFiles } from './own-files.ts';
import { startTime, type Runtime } from './runtime.ts';
import { MASKED_PATHS, ociSpec, OPEN_FILES, type GuestCommands } from './spec.ts';
import { initToolbox } from './toolbox-call.ts';

export interface GuestRuntime {
  readonly dir: string;
  readonly commands: GuestCommands;
  readonly version: string;
}

export interface LauncherParts {
  readonly layout: Layout;
  readonly runtime: Runtime;
  readonly cgroups: Cgroups;
  readonly exits: ExitWatch;
  readonly guest: GuestRuntime;
  /** Group that may connect to toolbox sockets. */
  readonly socketGid: number;
}

export interface LaunchInput {
  readonly spec: SandboxSpec;
  readonly image: Image;
  readonly slot: NetworkSlot;
  readonly rootfs: string;
  readonly resolver: string;
  readonly views: readonly ShownView[];
  readonly signal: AbortSignal;
  readonly mark: (step: string) => void;
  /** Called when init runs, before the toolbox answers: the place to write down that there is something to clean up. */
  readonly onRunning: (run: RunningInit) => Promise<void>;
}

export interface RunningInit {
  readonly pid: number;
  readonly startTime: string;
  readonly process: WatchedProcess;
}

/** Connections that may wait while the toolbox starts or restarts: a burst of requests for one sandbox, and some. */
const BACKLOG = 512;

/** What a sandbox may say on its console. The toolbox logs failures only; the tail explains a start that failed. */
const CONSOLE_BYTES = 64 * 1024;
const TAIL_BYTES = 1_000;

/**
 * From runtime start to the toolbox's reply: 0.05 s on an idle machine, a second in a burst. Half a minute is a machine
 * that is far overloaded; the client's own patience ends at 60 s.
 */
const START_TIMEOUT_MS = 30_000;

export const GIB = 1024 ** 3;

/** Users named in an error; an image can have thousands. */
const SHOWN_USERS = 50;

export function limitsOf(spec: Pick<SandboxSpec, 'cpu' | 'memoryGiB'>): Limits {
  return { cpu: spec.cpu, memoryBytes: Math.round(spec.memoryGiB * GIB) };
}

export class Launcher {
  readonly #parts: LauncherParts;
  readonly #devices = hostDevices();
  readonly #openFiles = raiseOpenFiles(OPEN_FILES);

  constructor(parts: LauncherParts) {
    this.#parts = parts;
  }

  get guestVersion(): string {
    return this.#parts.guest.version;
  }

  /** Throws RunnerError START_FAILED; what was started is then left to the caller's teardown. */
  async launch(input: LaunchInput): Promise<{ toolboxVersion: string }> {
    const { layout, guest } = this.#parts;
    const { id } = input.spec;
    const dir = this.#makeRunDir(id);
    const listenFd = this.#listen(toolboxSocket(layout, id));
    const consoleFd = fixedMemoryFile(`console-${id}`, CONSOLE_BYTES);
    const ending = new AbortController();
    const stop = AbortSignal.any([input.signal, ending.signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
    try {
      this.#writeBundle(dir, input);
      input.mark('bundle');
      const answered = initToolbox(toolboxSocket(layout, id), initOf(input.spec), stop);
      answered.catch(() => {}); // judged below, also when the runtime fails first
      const pid = await this.#parts.runtime.run({ id, bundleDir: dir, pidFile: join(dir, 'pid'), listenFd, consoleFd });
      input.mark('runtime');
      this.#parts.cgroups.delegate(id, input.slot.idBase);
      const init = this.#watch(pid);
      void init.process.ended.then((status) => ending.abort(new Error(`init ended with ${describeStatus(status) ?? 'an unknown status'}`)));
      await input.onRunning(init);
      const version = await answered;
      input.mark('toolbox');
      return { toolboxVersion: version ?? guest.version };
    } catch (error) {
      const reason = stop.aborted ? stop.reason : error;
      ending.abort(reason);
      if (error instanceof RunnerError) throw error;
      throw new RunnerError('START_FAILED', `The sandbox did not start: ${(reason as Error).message}${this.#outOfMemory(input.spec)}${consoleTail(consoleFd)}`, error);
    } finally {
      closeSync(listenFd);
      closeSync(consoleFd);
      unmountOwnFiles(join(dir, 'own'));
    }
  }

  /** Repeats `/init` to a running sandbox: env and token of a PATCH. */
  async tell(id: string, init: ToolboxInit): Promise<string> {
    return (await initToolbox(toolboxSocket(this.#parts.layout, id), init, AbortSignal.timeout(START_TIMEOUT_MS))) ?? this.#parts.guest.version;
  }

  /** Removes what `launch` left on the host's file systems. Idempotent. */
  removeFiles(id: string): void {
    const dir = sandboxRunDir(this.#parts.layout, id);
    unmountOwnFiles(join(dir, 'own'));
    rmSync(dir, { recursive: true, force: true });
  }

  #makeRunDir(id: string): string {
    const dir = sandboxRunDir(this.#parts.layout, id);
    this.removeFiles(id);
    mkdirSync(dir, { recursive: true });
    chownSync(dir, 0, this.#parts.socketGid);
    chmodSync(dir, 0o750);
    return dir;
  }

  #listen(path: string): number {
    const fd = listenUnix(path, BACKLOG);
    chownSync(path, 0, this.#parts.socketGid);
    chmodSync(path, 0o660);
    return fd;
  }

  #writeBundle(dir: string, input: LaunchInput): void {
    const { cgroups, guest } = this.#parts;
    const { spec, image, slot } = input;
    const ownFilesDir = join(dir, 'own');
    mountOwnFiles(ownFilesDir, { id: spec.id, idBase: slot.idBase, address: slot.address, resolver: input.resolver, devices: this.#devices });
    const bundle = ociSpec({
      id: spec.id, rootfs: input.rootfs, userNsPath: slot.userNsPath, netNsPath: slot.netNsPath, idBase: slot.idBase,
      user: userOf(spec, image),
      imageEnv: image.config.env, workDir: image.config.workDir,
      limits: limitsOf(spec), diskBytes: Math.round(spec.diskGiB * GIB),
      cgroups, guestDir: guest.dir, guest: guest.commands, ownFilesDir, devices: this.#devices, views: input.views, maskedPaths: MASKED_PATHS, openFiles: this.#openFiles,
    });
    writeFileSync(join(dir, 'config.json'), JSON.stringify(bundle), { mode: 0o600 });
  }

  #outOfMemory({ id, memoryGiB }: SandboxSpec): string {
    return this.#parts.cgroups.oomKills(id) > 0 ? `. The kernel ended processes for lack of memory: its limit is ${memoryGiB} GiB` : '';
  }

  #watch(pid: number): RunningInit {
    const process = this.#parts.exits.watch(pid);
    const since = startTime(pid);
    if (process === null || since === null) throw new Error('init ended at once');
    return { pid, startTime: since, process };
  }
}

export function initOf(spec: SandboxSpec): ToolboxInit {
  return { token: spec.token, env: spec.env, ...(spec.entrypoint === null ? {} : { entrypoint: spec.entrypoint }) };
}

/** Who owns the toolbox and all it starts. Throws INVALID_SPEC where the image has no such user. */
export function userOf(spec: Pick<SandboxSpec, 'user'>, image: Image): ImageUser {
  const user = runAs(spec.user ?? image.config.user, image.config);
  if (user !== null) return user;
  const names = Object.keys(image.config.users).slice(0, SHOWN_USERS).join(', ');
  throw new RunnerError('INVALID_SPEC', `The image "${image.name}" has no user "${spec.user ?? image.config.user}". It has: ${names}.`);
}

/** The last lines the runtime or the sandbox wrote, as the end of a sentence. */
function consoleTail(fd: number): string {
  const all = Buffer.alloc(fstatSync(fd).size);
  readSync(fd, all, 0, all.length, 0);
  const end = all.indexOf(0);
  const text = all.subarray(0, end < 0 ? all.length : end).toString('utf8').trim();
  return text === '' ? '' : `. Its console: ${text.slice(-TAIL_BYTES)}`;
}
