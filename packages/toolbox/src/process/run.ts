import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, statSync, type Stats } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import type { Env } from '../environment/environment.ts';
import { errnoOf } from '../errors.ts';
import { MAX_OUTPUT_BYTES, Output } from './output.ts';
import { givePipeBack, stdinWith, takePipe, type Pipe } from './pipes.ts';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly stdin: string;
  readonly cwd: string;
  readonly env: Env;
  /** null: no limit. */
  readonly timeoutMs: number | null;
}

/** How a command ended. `output` belongs to the caller, who disposes of it. */
export type Outcome =
  | { readonly kind: 'ended'; readonly exitCode: number | null; readonly signal: NodeJS.Signals | null; readonly output: Output }
  | { readonly kind: 'timeout'; readonly output: Output }
  | { readonly kind: 'too-long' | 'no-space' | 'cancelled' }
  /** The program could not be started; `missing` when the file itself was not found. */
  | { readonly kind: 'not-started'; readonly reason: string; readonly missing: boolean };

/** Takes output on its way, and gives on what should stay. */
export type Filter = (chunk: Buffer, keep: (chunk: Buffer) => void, end: boolean) => void;

/** One buffer for all reads: a read's bytes are copied out before the next read begins. */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);

/**
 * Runs a program in a process group of its own, stdout and stderr going to one pipe in the order they were written.
 *
 * It has ended when the program has exited *and* nothing holds the pipe any more: a background process that kept it delays
 * the end. Deadline, cancellation and an output over the limit kill the group and do not wait for anybody.
 */
export async function run(command: Command, cancel: (listener: () => void) => void, filter?: Filter): Promise<Outcome> {
  const pipe = await takePipe();
  return await new Promise((resolve) => new Run(command, pipe, filter, resolve).start(cancel));
}

class Run {
  readonly #command: Command;
  readonly #pipe: Pipe | null;
  readonly #filter: Filter | undefined;
  readonly #resolve: (outcome: Outcome) => void;
  readonly #output = new Output();
  #child: ChildProcess | null = null;
  #readers: net.Socket[] = [];
  #open = 0;
  #exit: { code: number | null; signal: NodeJS.Signals | null } | null = null;
  #timer: NodeJS.Timeout | null = null;
  #settled = false;

  constructor(command: Command, pipe: Pipe | null, filter: Filter | undefined, resolve: (outcome: Outcome) => void) {
    this.#command = command;
    this.#pipe = pipe;
    this.#filter = filter;
    this.#resolve = resolve;
  }

  start(cancel: (listener: () => void) => void): void {
    const { file, args, cwd, env, timeoutMs } = this.#command;
    let stdin: number | null = null;
    try {
      stdin = stdinWith(Buffer.from(this.#command.stdin));
      const out = this.#pipe?.writeFd ?? 'pipe';
      this.#child = spawn(file, args, { cwd, env, detached: true, stdio: [stdin, out, out] });
    } catch (error) {
      this.#notStarted(error);
      return;
    } finally {
      if (stdin !== null) closeSync(stdin);
      if (this.#pipe) closeSync(this.#pipe.writeFd);
    }
    this.#child.once('error', (error) => this.#notStarted(error));
    this.#child.once('exit', (code, signal) => {
      this.#exit = { code, signal };
      this.#endIfDone();
    });
    this.#listen();
    // A longer wait than a timer can hold (24 days) is no limit.
    if (timeoutMs !== null && timeoutMs < 2 ** 31) this.#timer = setTimeout(() => this.#abandon({ kind: 'timeout', output: this.#output }), timeoutMs);
    cancel(() => this.#abandon({ kind: 'cancelled' }));
  }

  #listen(): void {
    if (this.#pipe) {
      const socket = new net.Socket({ fd: this.#pipe.readFd, readable: true, writable: false, onread: { buffer: readBuffer, callback: (bytes) => this.#take(Buffer.from(readBuffer.subarray(0, bytes))) } });
      this.#readers = [socket];
      socket.resume();
    } else {
      this.#readers = [this.#child!.stdout as net.Socket, this.#child!.stderr as net.Socket].filter((stream) => stream !== null);
      for (const stream of this.#readers) stream.on('data', (chunk: Buffer) => void this.#take(chunk));
    }
    this.#open = this.#readers.length;
    for (const reader of this.#readers) {
      reader.on('error', () => reader.destroy());
      reader.once('close', () => {
        this.#open--;
        this.#endIfDone();
      });
      reader.once('end', () => reader.destroy());
    }
  }

  #take(chunk: Buffer): boolean {
    if (this.#settled) return true;
    try {
      if (this.#filter) this.#filter(chunk, (kept) => this.#output.push(kept), false);
      else this.#output.push(chunk);
      if (this.#output.bytes > MAX_OUTPUT_BYTES) this.#abandon({ kind: 'too-long' });
    } catch (error) {
      console.error(JSON.stringify({ level: 'warn', message: 'output of a command could not be kept', reason: errnoOf(error) }));
      this.#abandon({ kind: 'no-space' });
    }
    return true;
  }

  #endIfDone(): void {
    if (this.#settled || this.#exit === null || this.#open > 0) return;
    this.#filter?.(Buffer.alloc(0), (kept) => this.#output.push(kept), true);
    this.#settle({ kind: 'ended', exitCode: this.#exit.code, signal: this.#exit.signal, output: this.#output }, true);
  }

  /** Kills the group and lets go of the pipe, whoever still holds its other end. */
  #abandon(outcome: Outcome): void {
    if (this.#settled) return;
    this.#settle(outcome, false);
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // The group is empty already.
    }
  }

  #notStarted(error: unknown): void {
    if (this.#settled) return;
    const errno = errnoOf(error);
    const { text, missing } = explain(this.#command, errno, error);
    this.#settle({ kind: 'not-started', reason: text, missing }, false);
  }

  #settle(outcome: Outcome, ended: boolean): void {
    if (this.#settled) return;
    this.#settled = true;
    if (this.#timer) clearTimeout(this.#timer);
    if (this.#pipe) {
      if (this.#readers.length === 0) closeSync(this.#pipe.readFd);
      givePipeBack(this.#pipe, ended);
    }
    for (const reader of this.#readers) reader.destroy();
    if (!('output' in outcome)) this.#output.dispose();
    this.#resolve(outcome);
  }
}

/** Words for a program that did not start. The kernel says ENOENT for a missing directory and for a missing file alike. */
function explain(command: Command, errno: string | null, error: unknown): { text: string; missing: boolean } {
  const words: Record<string, string> = { ENOENT: 'no such file or directory', EACCES: 'permission denied', ENOTDIR: 'not a directory', E2BIG: 'argument list too long', EAGAIN: 'resource temporarily unavailable' };
  const word = words[errno ?? ''] ?? (error instanceof Error ? error.message : String(error));
  let cwd: Stats;
  try {
    cwd = statSync(command.cwd);
  } catch (reason) {
    return { text: `chdir ${command.cwd}: ${words[errnoOf(reason) ?? ''] ?? String(reason)}`, missing: false };
  }
  if (!cwd.isDirectory()) return { text: `chdir ${command.cwd}: not a directory`, missing: false };
  return { text: `${command.file}: ${word}`, missing: errno === 'ENOENT' };
}

/** What a shell reports for a child: its exit code, or 128 plus the signal that killed it. */
export function shellExitCode(exitCode: number | null, signal: NodeJS.Signals | null): number {
  return exitCode ?? 128 + (signal === null ? 0 : os.constants.signals[signal]);
}
