import { constants, openSync, closeSync } from 'node:fs';
import net from 'node:net';
import { givePipeBack, takePipe } from '../process/pipes.ts';

/** Standard input of a command that runs in the background: a reader waits until something is written or the command is done. */
export class InputPipe {
  readonly #fd: number;
  #socket: net.Socket | null = null;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** @returns null when this system cannot make named pipes */
  static async open(): Promise<InputPipe | null> {
    const pipe = await takePipe();
    if (pipe === null) return null;
    try {
      // Open for both: writing works before the command opens it, and when nobody reads any more it is an ordinary wait.
      return new InputPipe(openSync(pipe.path, constants.O_RDWR | constants.O_NONBLOCK));
    } finally {
      closeSync(pipe.readFd);
      closeSync(pipe.writeFd);
      // A background process may hold it for longer than the command: never used again.
      givePipeBack(pipe, false);
    }
  }

  get name(): string {
    return `/proc/${process.pid}/fd/${this.#fd}`;
  }

  /** @returns once the pipe has taken all of it (it holds 64 KiB), or false when the command was done before */
  async write(data: string): Promise<boolean> {
    this.#socket ??= new net.Socket({ fd: this.#fd, readable: false, writable: true }).on('error', () => undefined);
    return await new Promise((resolve) => this.#socket!.write(data, (error) => resolve(!error)));
  }

  /** End of input for whoever still reads. */
  close(): void {
    if (this.#socket === null) closeSync(this.#fd);
    else this.#socket.destroy();
  }
}
