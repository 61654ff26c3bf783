import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, existsSync, openSync } from 'node:fs';
import os from 'node:os';
import tty from 'node:tty';
import { GUEST_MOUNT } from '@paddock/contract';
import type { Env } from '../environment/environment.ts';
import { killTree } from './kill-tree.ts';
import { openMaster, setSize } from './system-calls.ts';

/** Bytes gathered before they are handed on. Wire: chunks are at most this large. */
const CHUNK_BYTES = 32 * 1024;

/** One buffer for all reads, sized for what one read of a terminal can yield: its bytes are copied out before the next read begins. */
const readBuffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);

/**
 * Silence after the program's end that counts as the end of output. What the program wrote is in the kernel's buffer by then; the
 * end itself may never show, because a background process can keep the terminal open.
 */
const SILENCE_MS = 50;

/** How a program ended. `code` as a shell reports it: 128 plus the number of the signal that killed it. */
export interface Exit {
  readonly code: number;
  /** Name-free number of the killing signal; null: it ended by itself. */
  readonly signal: number | null;
}

export interface TerminalOptions {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Env;
  readonly cwd: string;
  readonly columns: number;
  readonly rows: number;
}

export interface TerminalListener {
  /** The listener owns the bytes. */
  output(chunk: Buffer): void;
  /** The program is gone; output may still follow. */
  exited(exit: Exit): void;
  /** All output has been handed on. Called once, after `exited`. */
  closed(exit: Exit): void;
  /** Input is taken again after `write` said false. */
  drained(): void;
}

/**
 * Opens the slave so that it becomes the controlling terminal of the session that spawn made, then becomes the program.
 * Node cannot do the first in a child.
 */
const LAUNCHER = ': <>"$0"; exec "$@"';

/** A program on a terminal of its own. */
export class Terminal {
  readonly #listener: TerminalListener;
  readonly #fd: number;
  readonly #child: ChildProcess;
  readonly #stream: tty.ReadStream;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #reads = 0;
  #flushing = false;
  #exit: Exit | null = null;
  #silence: NodeJS.Timeout | null = null;
  #open = true;
  #closed = false;

  /** @throws when the system has no terminal or no process to give */
  constructor(options: TerminalOptions, listener: TerminalListener) {
    this.#listener = listener;
    const { fd, slave } = openMaster(options.columns, options.rows);
    this.#fd = fd;
    let slaveFd: number | null = null;
    try {
      slaveFd = openSync(slave, constants.O_RDWR | constants.O_NOCTTY);
      const busybox = `${GUEST_MOUNT}/busybox`;
      const [file, ...args] = existsSync(busybox) ? [busybox, 'sh'] : ['/bin/sh'];
      this.#child = spawn(file!, [...args, '-c', LAUNCHER, slave, options.file, ...options.args], {
        cwd: options.cwd, env: options.env, detached: true, stdio: [slaveFd, slaveFd, slaveFd],
      });
    } catch (error) {
      closeSync(fd);
      throw error;
    } finally {
      if (slaveFd !== null) closeSync(slaveFd);
    }
    this.#child.once('error', () => this.#ended({ code: 127, signal: null }));
    this.#child.once('exit', (code, signal) => {
      const number = signal === null ? null : os.constants.signals[signal];
      this.#ended({ code: code ?? 128 + number!, signal: number });
    });
    const onread = { buffer: readBuffer, callback: (bytes: number) => this.#take(Buffer.from(readBuffer.subarray(0, bytes))) };
    this.#stream = new tty.ReadStream(fd, { onread } as object);
    // EIO is how a master says that nobody holds the other side.
    this.#stream.on('error', () => this.#stream.destroy());
    this.#stream.once('close', () => {
      this.#open = false;
      if (this.#exit !== null) this.#finish();
    });
    this.#stream.on('drain', () => listener.drained());
    this.#stream.resume();
  }

  /** @returns false when the program does not read: `drained` tells when to go on */
  write(data: Buffer): boolean {
    return !this.#open || this.#stream.write(data);
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    if (this.#open) this.#stream.resume();
  }

  resize(columns: number, rows: number): void {
    if (this.#open) setSize(this.#fd, columns, rows);
  }

  /** The program, which leads the terminal's session; undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Takes the terminal away, as when its line is cut: the kernel sends SIGHUP to the program and to what runs in the foreground. */
  hangUp(): void {
    this.#stream.destroy();
  }

  /** SIGKILL for the program and everything below it. */
  kill(): void {
    if (this.#exit === null && this.#child.pid !== undefined) killTree(this.#child.pid);
  }

  #take(chunk: Buffer): boolean {
    this.#reads += 1;
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    if (this.#pendingBytes >= CHUNK_BYTES) this.#flush();
    else if (!this.#flushing) {
      // Behind all reads of this turn: what comes in many small pieces leaves in one.
      this.#flushing = true;
      setImmediate(() => {
        this.#flushing = false;
        this.#flush();
      });
    }
    if (this.#exit !== null) this.#listen();
    return true;
  }

  #flush(): void {
    if (this.#pendingBytes === 0) return;
    const whole = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    for (let at = 0; at < whole.length; at += CHUNK_BYTES) this.#listener.output(whole.subarray(at, at + CHUNK_BYTES));
  }

  #ended(exit: Exit): void {
    if (this.#exit !== null) return;
    this.#exit = exit;
    this.#listener.exited(exit);
    if (this.#open) this.#listen();
    else this.#finish();
  }

  #listen(): void {
    if (this.#silence !== null) clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      const reads = this.#reads;
      // A process that is late runs its timers before it reads what has been waiting all the while: silence is what a look confirms.
      setImmediate(() => {
        if (this.#closed) return;
        if (this.#stream.isPaused() || this.#reads !== reads) this.#listen();
        else this.#stream.destroy();
      });
    }, SILENCE_MS);
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#silence !== null) clearTimeout(this.#silence);
    this.#flush();
    this.#listener.closed(this.#exit!);
  }
}
