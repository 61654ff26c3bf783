/** The wire form of SFTP version 3: big-endian numbers, and strings with their length before them. */

export const TYPE = {
  init: 1, version: 2, open: 3, close: 4, read: 5, write: 6, lstat: 7, fstat: 8, setstat: 9, fsetstat: 10, opendir: 11, readdir: 12,
  remove: 13, mkdir: 14, rmdir: 15, realpath: 16, stat: 17, rename: 18, readlink: 19, symlink: 20,
  status: 101, handle: 102, data: 103, name: 104, attrs: 105, extended: 200, extendedReply: 201,
} as const;

/** Largest packet without its length: OpenSSH's own limit. A longer one is not SFTP. */
export const MAX_PACKET_BYTES = 256 * 1024;

/** A packet whose content ends before its fields do. */
export class Malformed extends Error {}

/** Takes fields off a packet one after another. */
export class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    return this.#take(1).readUInt8(0);
  }

  number(): number {
    return this.#take(4).readUInt32BE(0);
  }

  /** A 64-bit number. Beyond what a double holds exactly no file has an offset. */
  large(): number {
    return Number(this.#take(8).readBigUInt64BE(0));
  }

  /** A view: valid as long as the packet is. */
  string(): Buffer {
    return this.#take(this.number());
  }

  text(): string {
    return this.string().toString('utf8');
  }

  #take(bytes: number): Buffer {
    if (bytes > this.left) throw new Malformed('a field lies beyond the end of its packet');
    this.#at += bytes;
    return this.#bytes.subarray(this.#at - bytes, this.#at);
  }
}

/** A field, or several, in wire form. */
export type Field = Buffer;

export function number(value: number): Field {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function large(value: number | bigint): Field {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, BigInt(value)));
  return bytes;
}

export function string(content: string | Buffer): Field {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return Buffer.concat([number(bytes.length), bytes]);
}

/** A whole packet: its length, its type, the id of the request it answers, its fields. */
export function packet(type: number, id: number, ...fields: readonly Field[]): Buffer {
  const length = fields.reduce((sum, field) => sum + field.length, 5);
  const head = Buffer.allocUnsafe(9);
  head.writeUInt32BE(length, 0);
  head.writeUInt8(type, 4);
  head.writeUInt32BE(id >>> 0, 5);
  return Buffer.concat([head, ...fields], length + 4);
}
