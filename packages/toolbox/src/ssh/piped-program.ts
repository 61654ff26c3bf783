import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync } from 'node:fs';
import net from 'node:net';
import { errnoOf } from '../errors.ts';
import { givePipeBack, takePipe, type Pipe } from '../process/pipes.ts';
import { openPipe } from '../pty/system-calls.ts';
import { exitOf, hangUpGroups, signalGroup } from './ending.ts';
import type { ServerChannel } from './library.ts';
import { Outlet, type Side } from './outlet.ts';
import type { Program, ProgramOptions } from './session.ts';

const READ_BYTES = 64 * 1024;
/** One buffer for all reads: a read's bytes are copied out before the next read begins. */
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);

/**
 * A program without a terminal, on three pipes. The channel closes when the program has exited and nobody holds its stdout and
 * stderr any more: what a background process still prints arrives, and one that let go of them does not delay the end.
 */
export class PipedProgram implements Program {
  readonly #channel: ServerChannel;
  readonly #outlet: Outlet;
  readonly #readers = new Set<net.Socket>();
  #child: ChildProcess | null = null;
  #stdin: net.Socket | null = null;
  #exited = false;
  #over = false;
  /** Signals that came before the program was there. */
  #early: number[] = [];

  constructor(options: ProgramOptions, channel: ServerChannel) {
    this.#channel = channel;
    this.#outlet = new Outlet(channel, () => this.#eachReader((reader) => reader.resume()));
    channel.on('error', () => undefined);
    void this.#start(options);
  }

  signal(number: number): void {
    if (this.#child?.pid === undefined) this.#early.push(number);
    else signalGroup(this.#child.pid, number);
  }

  resize(): void {
    // There is no terminal.
  }

  hangUp(): void {
    if (this.#over) return;
    this.#over = true;
    this.#outlet.close();
    this.#stdin?.destroy();
    this.#eachReader((reader) => reader.destroy());
    if (this.#child?.pid !== undefined) hangUpGroups([this.#child.pid]);
  }

  async #start({ file, args, env, cwd }: ProgramOptions): Promise<void> {
    const [output, errors] = await Promise.all([takePipe(), takePipe()]);
    const ours: number[] = [];
    const theirs: number[] = [];
    try {
      const input = openPipe();
      theirs.push(input.readFd);
      ours.push(input.writeFd);
      if (this.#over) throw Object.assign(new Error('the client has gone'), { code: 'ECANCELED' });
      this.#child = spawn(file, args, { cwd, env, detached: true, stdio: [input.readFd, output?.writeFd ?? 'pipe', errors?.writeFd ?? 'pipe'] });
      this.#feed(new net.Socket({ fd: input.writeFd, readable: false, writable: true }));
      ours.length = 0;
      this.#read(output, this.#child.stdout as net.Socket | null, 'stdout');
      this.#read(errors, this.#child.stderr as net.Socket | null, 'stderr');
    } catch (error) {
      for (const fd of ours) closeSync(fd);
      for (const pipe of [output, errors]) if (pipe !== null) closeSync(pipe.readFd);
      this.#failed(file, error);
      return;
    } finally {
      for (const fd of theirs) closeSync(fd);
      for (const pipe of [output, errors]) if (pipe !== null) closeSync(pipe.writeFd);
    }
    this.#child.once('error', (error) => this.#failed(file, error));
    this.#child.once('exit', (code, signal) => {
      this.#exited = true;
      exitOf(this.#channel, code, signal);
      this.#endIfDone();
    });
    for (const number of this.#early.splice(0)) this.signal(number);
  }

  #feed(stdin: net.Socket): void {
    this.#stdin = stdin;
    const channel = this.#channel;
    channel.on('data', (chunk: Buffer) => {
      if (stdin.writable && !stdin.write(chunk)) channel.pause();
    });
    stdin.on('drain', () => channel.resume());
    // The program does not read any more; what the client sends then has nowhere to go.
    stdin.on('error', () => stdin.destroy());
    stdin.once('close', () => channel.resume());
    // Behind all that was written before: a pipe has no other end than closing it.
    channel.once('end', () => (stdin.writable ? void stdin.write(Buffer.alloc(0), () => stdin.destroy()) : undefined));
  }

  #read(pipe: Pipe | null, stream: net.Socket | null, side: Side): void {
    const take = (chunk: Buffer): void => {
      if (!this.#outlet.write(chunk, side)) this.#eachReader((reader) => reader.pause());
    };
    let reader: net.Socket;
    if (pipe === null) {
      reader = stream!;
      reader.on('data', take);
    } else {
      const onread = {
        buffer: readBuffer,
        callback: (bytes: number) => {
          take(Buffer.from(readBuffer.subarray(0, bytes)));
          return true;
        },
      };
      reader = new net.Socket({ fd: pipe.readFd, readable: true, writable: false, onread });
    }
    let ended = false;
    this.#readers.add(reader);
    reader.once('end', () => {
      ended = true;
      reader.destroy();
    });
    reader.on('error', () => reader.destroy());
    reader.once('close', () => {
      if (pipe !== null) givePipeBack(pipe, ended);
      this.#readers.delete(reader);
      this.#endIfDone();
    });
    reader.resume();
  }

  #endIfDone(): void {
    if (this.#over || !this.#exited || this.#readers.size > 0) return;
    this.#over = true;
    this.#stdin?.destroy();
    this.#outlet.end();
  }

  #failed(file: string, error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#stdin?.destroy();
    const errno = errnoOf(error) ?? String(error);
    this.#outlet.write(Buffer.from(`${file}: cannot be started (${errno})\r\n`), 'stderr');
    exitOf(this.#channel, errno === 'ENOENT' ? 127 : 126, null);
    this.#outlet.end();
    this.#eachReader((reader) => reader.destroy());
  }

  #eachReader(act: (reader: net.Socket) => void): void {
    for (const reader of [...this.#readers]) act(reader);
  }
}
