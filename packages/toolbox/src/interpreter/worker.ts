import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, closeSync, constants, readSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { Env } from '../environment/environment.ts';
import { killTree } from '../pty/kill-tree.ts';
import { givePipeBack, type Pipe, stdinWith, takePipe } from '../process/pipes.ts';
import { FrameReader, frameOf } from './frames.ts';
import source from './worker.py';

/** The worker's own source comes on descriptor 4: nothing of it lies in a file that somebody could change or in a process list. */
const BOOTSTRAP = "exec(compile(open(4,encoding='utf-8').read(),'<worker>','exec'),{'__name__':'<worker>'})";

/** What a pipe of the kernel holds: no more than this can have been written before the frame that ends a run. */
const PIPE_BYTES = 64 * 1024;

const readBuffer = Buffer.allocUnsafeSlow(PIPE_BYTES);

export interface PythonError {
  readonly name: string;
  readonly value: string;
  readonly traceback: string;
}

/** How a run ended: over, with the error that ended it; or together with its worker. */
export type RunOutcome = { readonly kind: 'over'; readonly error: PythonError | null } | { readonly kind: 'died'; readonly how: string };

export type OutputListener = (stream: 'stdout' | 'stderr', chunk: Buffer) => void;

interface Run {
  readonly output: OutputListener;
  readonly resolve: (outcome: RunOutcome) => void;
}

/** A Python process that runs sources one after the other. */
export class Worker {
  readonly #child: ChildProcess;
  readonly #pipes: readonly Pipe[];
  readonly #readers: readonly (readonly ['stdout' | 'stderr', net.Socket, number])[];
  readonly #channel: Duplex;
  /** Held, never written: closed with this process, which ends the worker in the middle of whatever it does. */
  readonly #lifeline: Duplex;
  readonly #error = { N: '', V: '', T: '' };
  #failed = false;
  #run: Run | null = null;
  #dead: string | null = null;

  /** @returns null when the sandbox has no Python or cannot start it */
  static async start(cwd: string, env: Env): Promise<Worker | null> {
    const python = findPython(env);
    if (python === null) return null;
    const pipes = [await takePipe(), await takePipe()].filter((pipe) => pipe !== null);
    return new Worker(python, cwd, env, pipes.length === 2 ? pipes : []);
  }

  private constructor(python: string, cwd: string, env: Env, pipes: readonly Pipe[]) {
    this.#pipes = pipes;
    const sourceFd = stdinWith(Buffer.from(source));
    const [out, err] = pipes.length === 2 ? [pipes[0]!.writeFd, pipes[1]!.writeFd] : (['pipe', 'pipe'] as const);
    try {
      // A session of its own: its processes can be ended together.
      this.#child = spawn(python, ['-c', BOOTSTRAP], { cwd, env, detached: true, stdio: ['ignore', out!, err!, 'pipe', sourceFd, 'pipe'] });
    } finally {
      closeSync(sourceFd);
      for (const { writeFd } of pipes) closeSync(writeFd);
    }
    this.#readers = (['stdout', 'stderr'] as const).map((name, at) => this.#read(name, pipes[at]));
    this.#channel = this.#child.stdio[3] as unknown as Duplex;
    const frames = new FrameReader((kind, payload) => this.#frame(kind, payload));
    this.#channel.on('data', (chunk: Buffer) => frames.push(chunk));
    this.#channel.on('error', () => undefined);
    this.#lifeline = (this.#child.stdio as readonly unknown[])[5] as Duplex;
    this.#lifeline.on('error', () => undefined);
    this.#child.once('error', (error) => this.#died(error.message));
    this.#child.once('exit', (code, signal) => this.#died(signal === null ? `exit code ${code}` : `signal ${signal}`));
  }

  /** It leads its kernel session. Null when it could not be started. */
  get pid(): number | null {
    return this.#child.pid ?? null;
  }

  get alive(): boolean {
    return this.#dead === null;
  }

  /** One at a time. */
  run(code: string, envs: Env, output: OutputListener): Promise<RunOutcome> {
    return new Promise((resolve) => {
      if (this.#dead !== null) return void resolve({ kind: 'died', how: this.#dead });
      this.#run = { output, resolve };
      const variables = Object.entries(envs).map(([name, value]) => frameOf('E', `${name}=${value}`));
      this.#channel.write(Buffer.concat([...variables, frameOf('R', code)]));
    });
  }

  /** Output stays in the pipes: what prints waits. */
  pause(): void {
    for (const [, reader] of this.#readers) reader.pause();
  }

  resume(): void {
    for (const [, reader] of this.#readers) reader.resume();
  }

  /** KeyboardInterrupt in the running source. @param all also for what it has started and waits for without listening itself */
  interrupt(all: boolean): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#dead !== null) return;
    try {
      process.kill(all ? -pid : pid, 'SIGINT');
    } catch {
      // It has ended; its exit is on the way.
    }
  }

  /** Ends it with everything it has started. */
  kill(): void {
    if (this.#child.pid !== undefined && this.#dead === null) killTree(this.#child.pid);
  }

  #read(name: 'stdout' | 'stderr', pipe: Pipe | undefined): readonly ['stdout' | 'stderr', net.Socket, number] {
    if (pipe === undefined) {
      const reader = this.#child[name] as net.Socket;
      reader.on('data', (chunk: Buffer) => this.#run?.output(name, chunk));
      return [name, reader, (reader as unknown as { _handle: { fd: number } })._handle.fd];
    }
    const take = (bytes: number): boolean => {
      this.#run?.output(name, Buffer.from(readBuffer.subarray(0, bytes)));
      return true;
    };
    const reader = new net.Socket({ fd: pipe.readFd, readable: true, writable: false, onread: { buffer: readBuffer, callback: take } });
    reader.on('error', () => reader.destroy());
    reader.resume();
    return [name, reader, pipe.readFd];
  }

  #frame(kind: string, payload: Buffer): void {
    if (kind === 'D') {
      const error = this.#failed ? { name: this.#error.N, value: this.#error.V, traceback: this.#error.T } : null;
      this.#failed = false;
      this.#end({ kind: 'over', error });
    } else if (kind === 'N' || kind === 'V' || kind === 'T') {
      this.#failed = true;
      this.#error[kind] = payload.toString('utf8');
    }
  }

  /** What was printed before the end is in the pipes by now. */
  #end(outcome: RunOutcome): void {
    const run = this.#run;
    if (run === null) return;
    for (const [name, reader, fd] of this.#readers) if (!reader.destroyed) drain(fd, (chunk) => run.output(name, chunk));
    this.#run = null;
    run.resolve(outcome);
  }

  #died(how: string): void {
    if (this.#dead !== null) return;
    this.#end({ kind: 'died', how });
    this.#dead = how;
    this.#channel.destroy();
    this.#lifeline.destroy();
    for (const [, reader] of this.#readers) reader.destroy();
    for (const pipe of this.#pipes) givePipeBack(pipe, false);
  }
}

/** Reads what a pipe holds at this moment, at most its capacity: a process in the background may print for ever. */
function drain(fd: number, take: (chunk: Buffer) => void): void {
  const buffer = Buffer.allocUnsafe(PIPE_BYTES);
  try {
    for (let left = PIPE_BYTES; left > 0;) {
      const bytes = readSync(fd, buffer, 0, left, null);
      if (bytes === 0) return;
      take(Buffer.from(buffer.subarray(0, bytes)));
      left -= bytes;
    }
  } catch {
    // Empty: EAGAIN.
  }
}

/** Wire: `python3`, else `python`. */
export function findPython(env: Env): string | null {
  for (const name of ['python3', 'python']) {
    for (const dir of (env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin').split(':')) {
      const path = join(dir || '.', name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not in this directory.
      }
    }
  }
  return null;
}
