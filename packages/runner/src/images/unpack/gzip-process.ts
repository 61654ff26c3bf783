/**
 * Inflates in a process that has nothing but two pipes and an id of its own: what decodes a stranger's bytes fastest is assembly,
 * and whatever the bytes do to it, they do not do it to the runner. It also works while the runner's thread writes files.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { Socket } from 'node:net';
import { closeEnd, openPipe } from '../../sys/index.ts';
import { BadLayer } from './tar-entry.ts';
import type { Decompressor, Take } from './decompress.ts';

/** Of ISA-L, which Debian calls `isal`: three times as fast as zlib. */
const PROGRAMS = ['/usr/bin/igzip', '/usr/local/bin/igzip'];

/** What igzip reads and writes at once. */
const PIPE_BYTES = 1024 ** 2;

/** Half a pipe, so that the process goes on while this half is written to files. */
const PIECE_BYTES = PIPE_BYTES / 2;

/** The last id below those of sandboxes: no user, no service and no sandbox has it. */
const OWN_ID = 0x6fff_ffff;

/** @returns the program, or null where it is not installed: Node's zlib does it then */
export function gzipProgram(): string | null {
  return PROGRAMS.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  }) ?? null;
}

export class GzipProcess implements Decompressor {
  readonly #child: ChildProcess;
  readonly #input: Socket;
  readonly #output: Socket;
  readonly #ended = Promise.withResolvers<void>();
  #failed = false;

  constructor(program: string, take: Take) {
    const [input, output] = [openPipe(PIPE_BYTES), openPipe(PIPE_BYTES)];
    this.#ended.promise.catch(() => undefined); // told of by the next write, at the latest at the end
    this.#child = spawn(program, ['-dc'], { stdio: [input.read, output.write, 'ignore'], cwd: '/', env: {}, uid: OWN_ID, gid: OWN_ID });
    closeEnd(input.read);
    closeEnd(output.write);
    const buffer = Buffer.allocUnsafe(PIECE_BYTES);
    this.#input = new Socket({ fd: input.write, readable: false, writable: true });
    this.#output = new Socket({ fd: output.read, readable: true, writable: false, onread: { buffer, callback: (bytes) => this.#taken(take, buffer.subarray(0, bytes)) } });
    this.#input.on('error', () => undefined); // it ended before its input did; how it ended says why
    this.#output.on('error', (error) => this.#fail(error));
    this.#child.once('error', (error) => this.#fail(error));
    const exited = new Promise<void>((resolve) => this.#child.once('exit', (code, signal) => {
      if (signal !== null) this.#fail(new Error(`${program} was ended by ${signal}`));
      else if (code !== 0) this.#fail(new BadLayer('its compressed data is damaged'));
      resolve();
    }));
    this.#output.once('end', () => void exited.then(this.#ended.resolve));
    this.#output.resume();
  }

  write(piece: Buffer): Promise<unknown> | null {
    if (this.#failed) return this.#ended.promise;
    if (this.#input.write(piece)) return null;
    // `close`: nobody reads any more; how the process ended decides.
    const room = new Promise<void>((resolve) => this.#input.once('drain', resolve).once('close', resolve));
    return Promise.race([room, this.#ended.promise]);
  }

  end(): Promise<void> {
    this.#input.end();
    return this.#ended.promise;
  }

  close(): void {
    this.#failed = true;
    this.#input.destroy();
    this.#output.destroy();
    this.#child.kill('SIGKILL');
  }

  #taken(take: Take, piece: Buffer): boolean {
    if (this.#failed) return false;
    try {
      take(piece);
      return true;
    } catch (error) {
      this.#fail(error as Error);
      return false;
    }
  }

  #fail(error: Error): void {
    this.#failed = true;
    this.#ended.reject(error);
  }
}
