import type { ServerChannel } from '../library.ts';
import { Outlet } from '../outlet.ts';
import { EXTENSIONS } from './extensions.ts';
import { Handles } from './handles.ts';
import { OPERATIONS } from './operations.ts';
import { MAX_PACKET_BYTES, packet, Reader, string, TYPE } from './packet.ts';
import { Refusal, STATUS, statusOf } from './status.ts';

const VERSION = 3;

/**
 * Serves SFTP version 3 on a channel. Requests are done one after another in the order they came, which is what clients that pipeline
 * them rely on; replies wait for the client's window before the next request is looked at.
 * @returns how to end it
 */
export function serveSftp(channel: ServerChannel): () => void {
  const server = new SftpServer(channel);
  return () => server.end();
}

class SftpServer {
  readonly #channel: ServerChannel;
  readonly #outlet: Outlet;
  readonly #handles = new Handles();
  #chunks: Buffer[] = [];
  #bytes = 0;
  #over = false;
  #inputEnded = false;
  #working = false;
  #room: (() => void) | null = null;

  constructor(channel: ServerChannel) {
    this.#channel = channel;
    this.#outlet = new Outlet(channel, () => this.#room?.());
    channel.on('error', () => this.end());
    channel.once('end', () => {
      this.#inputEnded = true;
      void this.#work();
    });
    channel.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      channel.pause();
      void this.#work();
    });
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#chunks = [];
    this.#room?.();
    // A request in progress still uses its descriptor: the worker closes them behind it.
    if (!this.#working) this.#handles.closeAll();
    this.#outlet.end();
  }

  /** Does what has come whole. One at a time: whoever comes while it works is served by its next round. */
  async #work(): Promise<void> {
    if (this.#working || this.#over) return;
    this.#working = true;
    try {
      for (let next = this.#take(); next !== null && !this.#over; next = this.#take()) {
        const reply = await this.#answer(next);
        if (reply !== null && !this.#outlet.write(reply)) await new Promise<void>((resolve) => (this.#room = resolve));
        this.#room = null;
      }
    } catch {
      // Not SFTP: there is no way to find the next packet.
      this.#working = false;
      this.end();
    } finally {
      this.#working = false;
      if (this.#over) this.#handles.closeAll();
    }
    if (this.#over) return;
    if (this.#inputEnded) {
      this.#channel.exit(0); // scp fails when it is not told
      this.end();
    } else this.#channel.resume();
  }

  /** @returns the next packet without its length, or null when it has not come whole */
  #take(): Buffer | null {
    if (this.#bytes < 4) return null;
    if (this.#chunks[0]!.length < 4) this.#join();
    const length = this.#chunks[0]!.readUInt32BE(0);
    if (length < 1 || length > MAX_PACKET_BYTES) throw new Error('not an SFTP packet');
    if (this.#bytes < length + 4) return null;
    if (this.#chunks[0]!.length < length + 4) this.#join();
    const [first] = this.#chunks as [Buffer];
    const rest = first.subarray(length + 4);
    if (rest.length > 0) this.#chunks[0] = rest;
    else this.#chunks.shift();
    this.#bytes -= length + 4;
    return first.subarray(4, length + 4);
  }

  #join(): void {
    this.#chunks = [Buffer.concat(this.#chunks)];
  }

  async #answer(bytes: Buffer): Promise<Buffer | null> {
    const reader = new Reader(bytes);
    const type = reader.byte();
    if (type === TYPE.init) return greeting();
    const id = reader.number();
    try {
      const operation = type === TYPE.extended ? EXTENSIONS[reader.text()]?.operation : OPERATIONS[type];
      if (operation === undefined) throw new Refusal(STATUS.unsupported, 'Operation unsupported');
      return await operation(id, reader, this.#handles);
    } catch (error) {
      return statusOf(id, error);
    }
  }
}

function greeting(): Buffer {
  const pairs = Object.entries(EXTENSIONS).flatMap(([name, { version }]) => [string(name), string(version)]);
  // The version stands where other packets have their request's id.
  return packet(TYPE.version, VERSION, ...pairs);
}
