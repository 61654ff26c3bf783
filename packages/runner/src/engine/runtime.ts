/** Starting a container through the OCI runtime, and forgetting one without it. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { FoundEngine } from './engines.ts';

export interface RunInput {
  readonly id: string;
  readonly bundleDir: string;
  readonly pidFile: string;
  /** Becomes the sandbox's descriptor 3. */
  readonly listenFd: number;
  /** The runtime's and the sandbox's stdout and stderr. */
  readonly consoleFd: number;
}

export class Runtime {
  readonly #engine: FoundEngine;
  readonly #root: string;

  /** @param root the runtime's state directory, this instance's own */
  constructor(engine: FoundEngine, root: string) {
    this.#engine = engine;
    this.#root = root;
  }

  /**
   * Starts the sandbox's init and returns its host pid. The runtime is a process group of its own and shares no pipe with
   * the runner, so the runner's death reaches neither it nor the sandbox.
   */
  run(input: RunInput): Promise<number> {
    const args = ['--root', this.#root, 'run', '--detach', '--preserve-fds', '1', '--pid-file', input.pidFile, '--bundle', input.bundleDir, input.id];
    return new Promise((resolve, reject) => {
      const child = spawn(this.#engine.path, args, {
        // It lives 20 ms: collecting garbage would cost more than the memory is worth.
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', GOGC: 'off' },
        stdio: ['ignore', input.consoleFd, input.consoleFd, input.listenFd],
        detached: true,
        cwd: '/',
      });
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        if (code !== 0) return reject(new Error(`${this.#engine.name} ended with ${signal ?? `status ${code}`}`));
        readFile(input.pidFile, 'utf8').then((text) => resolve(Number(text)), reject);
      });
    });
  }

  /** Ids the runtime keeps state of. */
  list(): string[] {
    try {
      return readdirSync(this.#root);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  /** Drops the runtime's state of a sandbox whose processes and cgroup are gone; nothing else of it is left then. */
  async forget(id: string): Promise<void> {
    await rm(join(this.#root, id), { recursive: true, force: true });
  }

  /** Kills runtime processes of this instance that an earlier runner left in the middle of a start. */
  killStrays(): number {
    let killed = 0;
    for (const name of readdirSync('/proc')) {
      if (!/^[0-9]+$/.test(name)) continue;
      const args = commandLine(name);
      const at = args.indexOf('--root');
      if (at < 0 || args[at + 1] !== this.#root) continue;
      try {
        process.kill(Number(name), 'SIGKILL');
        killed++;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // ended by itself
      }
    }
    return killed;
  }
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return []; // ended meanwhile
  }
}

/** Start time of a process in clock ticks since boot: with the pid it names a process for ever. null: no such process, or a zombie. */
export function startTime(pid: number): string | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? null : fields[19] ?? null;
}
