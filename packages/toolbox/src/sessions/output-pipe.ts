import { closeSync } from 'node:fs';
import net from 'node:net';
import { givePipeBack, type Pipe } from '../process/pipes.ts';
import type { Log } from './log.ts';
import { type Stream, unfinishedCharacter } from './records.ts';

/** One buffer for all reads: a read's bytes are copied out before the next read begins. */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);
const NOTHING = Buffer.alloc(0);

/** What a bare pipe needs to be read: no pipe of the pool when it outlives this process. */
export interface ReadEnd {
  readonly readFd: number;
}

/**
 * Moves what comes out of a pipe to a log, chunk by chunk as it comes: a prompt without a newline shows at once. Stops reading
 * while the log is full, so that the writer waits.
 */
export class OutputPipe {
  readonly #log: Log;
  readonly #stream: Stream;
  readonly #socket: net.Socket;
  readonly #ended: () => void;
  /** The beginning of a character whose rest has not come yet. */
  #carry: Buffer = NOTHING;
  #done = false;
  #paused = false;

  /** @param ended called once, when nobody holds the other end any more or after `close` */
  constructor(pipe: ReadEnd, log: Log, stream: Stream, ended: () => void) {
    this.#log = log;
    this.#stream = stream;
    this.#ended = ended;
    this.#socket = new net.Socket({
      fd: pipe.readFd, readable: true, writable: false,
      onread: { buffer: readBuffer, callback: (bytes) => this.#take(readBuffer.subarray(0, bytes)) },
    });
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.once('end', () => this.#socket.destroy());
    this.#socket.once('close', () => this.#finish());
    this.#socket.resume();
  }

  get done(): boolean {
    return this.#done;
  }

  /** Reading waits for the log. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Stops reading, whoever still holds the other end. */
  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): boolean {
    // A character may come in as many pieces as it has bytes.
    const joined = this.#carry.length > 0 && chunk.length < 4;
    const bytes = joined ? Buffer.concat([this.#carry, chunk]) : chunk;
    const whole = bytes.length - unfinishedCharacter(bytes);
    this.#log.append(this.#stream, joined ? NOTHING : this.#carry, bytes.subarray(0, whole));
    this.#carry = whole === bytes.length ? NOTHING : Buffer.from(bytes.subarray(whole));
    if (!this.#log.full) return true;
    this.#paused = true;
    this.#log.onRoom(() => {
      this.#paused = false;
      if (!this.#done) this.#socket.resume();
    });
    return false;
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#log.append(this.#stream, this.#carry, NOTHING);
    this.#ended();
  }
}

/** A pipe of the pool whose writing end a shell opens by name. */
export class CommandPipe {
  readonly #pipe: Pipe;
  readonly output: OutputPipe;
  #held = true;
  #cut = false;

  constructor(pipe: Pipe, log: Log, stream: Stream, ended: () => void) {
    this.#pipe = pipe;
    this.output = new OutputPipe(pipe, log, stream, () => {
      this.release();
      givePipeBack(pipe, !this.#cut);
      ended();
    });
  }

  /** By this name another process of the same user opens the pipe, whatever became of its file. */
  get name(): string {
    return `/proc/${process.pid}/fd/${this.#pipe.readFd}`;
  }

  /** Lets go of the writing end: the pipe ends when the last process that holds it does. */
  release(): void {
    if (!this.#held) return;
    this.#held = false;
    closeSync(this.#pipe.writeFd);
  }

  close(): void {
    this.#cut = true;
    this.output.close();
  }
}
