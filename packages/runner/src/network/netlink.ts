import { closeSync } from 'node:fs';
import { SysError } from '../sys/index.ts';
import { inNetns, netlinkSocket, receive, send, sendInBackground } from './sockets.ts';

/**
 * Netlink: how the kernel is asked for links, addresses, routes and nftables elements without starting a process.
 * A message is a 16-byte header, a body of fixed fields and attributes (type, length, value; padded to 4 bytes).
 */

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
const HEADER = 16;

export interface Request {
  /** For error messages: what was asked. */
  readonly what: string;
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
}

export interface Reply {
  readonly type: number;
  readonly body: Buffer;
}

export function attribute(type: number, value: Buffer): Buffer {
  const length = 4 + value.length;
  const out = Buffer.alloc((length + 3) & ~3);
  out.writeUInt16LE(length, 0);
  out.writeUInt16LE(type, 2);
  value.copy(out, 4);
  return out;
}

export function nested(type: number, ...children: readonly Buffer[]): Buffer {
  return attribute(type | NLA_F_NESTED, Buffer.concat(children));
}

/** Host byte order, as rtnetlink has it. Netfilter's numbers are big-endian: `uint32be`. */
export function uint32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value >>> 0);
  return out;
}

export function uint32be(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value >>> 0);
  return out;
}

export function text(value: string): Buffer {
  return Buffer.from(`${value}\0`, 'latin1');
}

/** @returns the last attribute of each type, from an offset of a body */
export function attributes(body: Buffer, offset: number): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (const [type, value] of eachAttribute(body, offset)) found.set(type, value);
  return found;
}

export function* eachAttribute(body: Buffer, offset: number): Generator<[number, Buffer]> {
  let at = offset;
  while (at + 4 <= body.length) {
    const length = body.readUInt16LE(at);
    if (length < 4 || at + length > body.length) return;
    yield [body.readUInt16LE(at + 2) & NLA_TYPE_MASK, body.subarray(at + 4, at + length)];
    at += (length + 3) & ~3;
  }
}

export function textOf(value: Buffer | undefined): string {
  if (value === undefined) return '';
  const end = value.indexOf(0);
  return value.toString('latin1', 0, end < 0 ? value.length : end);
}

/**
 * A netlink socket of one network namespace. The kernel carries a request out inside `send`, so its answers are already
 * queued when `send` returns: nothing here waits for a socket.
 */
export class Netlink {
  readonly #fd: number;
  readonly #answer = Buffer.alloc(64 * 1024);
  #sequence = 1;
  /** One request at a time is under way in the background: its answers must not mix with another's. */
  #background: Promise<void> = Promise.resolve();
  #backgroundActive = 0;

  /** @param netnsFd null: the namespace of the calling thread */
  constructor(protocol: number, netnsFd: number | null = null) {
    this.#fd = netnsFd === null ? netlinkSocket(protocol) : inNetns(netnsFd, () => netlinkSocket(protocol));
  }

  /** Sends requests as one packet; throws the first error after the kernel has dealt with all of them. */
  request(...requests: readonly Request[]): void {
    if (this.#backgroundActive > 0) throw new Error('a background request is under way on this netlink socket');
    const first = this.#sequence;
    send(this.#fd, this.#encode(requests));
    this.#checkAcks(first, requests);
  }

  /** `request` in a thread of the pool; background requests of one socket run one after another. */
  requestInBackground(...requests: readonly Request[]): Promise<void> {
    this.#backgroundActive += 1;
    const run = async (): Promise<void> => {
      try {
        const first = this.#sequence;
        await sendInBackground(this.#fd, this.#encode(requests));
        this.#checkAcks(first, requests);
      } finally {
        this.#backgroundActive -= 1;
      }
    };
    const done = this.#background.then(run);
    this.#background = done.catch(() => undefined);
    return done;
  }

  /** @returns all objects of a dump request */
  dump(what: string, type: number, body: Buffer): Reply[] {
    return this.#query({ what, type, flags: NLM_F_REQUEST | NLM_F_DUMP, body });
  }

  /** @returns the objects that answer a request for one */
  get(what: string, type: number, body: Buffer): Reply[] {
    return this.#query({ what, type, flags: NLM_F_REQUEST, body });
  }

  close(): void {
    closeSync(this.#fd);
  }

  #query(request: Request): Reply[] {
    if (this.#backgroundActive > 0) throw new Error('a background request is under way on this netlink socket');
    const first = this.#sequence;
    send(this.#fd, this.#encode([request]));
    const replies: Reply[] = [];
    for (const { sequence, type, body } of this.#receiveAll()) {
      if (sequence !== first) continue;
      if (type === NLMSG_ERROR) throwOn(body, request.what);
      else if (type !== NLMSG_DONE) replies.push({ type, body: Buffer.from(body) });
    }
    return replies;
  }

  #encode(requests: readonly Request[]): Buffer {
    const parts: Buffer[] = [];
    for (const { type, flags, body } of requests) {
      const length = HEADER + body.length;
      const message = Buffer.alloc((length + 3) & ~3);
      message.writeUInt32LE(length, 0);
      message.writeUInt16LE(type, 4);
      message.writeUInt16LE(flags, 6);
      message.writeUInt32LE(this.#sequence++, 8);
      body.copy(message, HEADER);
      parts.push(message);
    }
    return Buffer.concat(parts);
  }

  #checkAcks(first: number, requests: readonly Request[]): void {
    let failure: unknown = null;
    for (const { sequence, type, body } of this.#receiveAll()) {
      const request = requests[sequence - first];
      if (type !== NLMSG_ERROR || request === undefined || failure !== null) continue;
      try {
        throwOn(body, request.what);
      } catch (error) {
        failure = error;
      }
    }
    if (failure !== null) throw failure;
  }

  *#receiveAll(): Generator<{ sequence: number; type: number; body: Buffer }> {
    for (;;) {
      const length = receive(this.#fd, this.#answer);
      if (length === null) return;
      let at = 0;
      while (at + HEADER <= length) {
        const size = this.#answer.readUInt32LE(at);
        if (size < HEADER || at + size > length) return;
        yield {
          sequence: this.#answer.readUInt32LE(at + 8),
          type: this.#answer.readUInt16LE(at + 4),
          body: this.#answer.subarray(at + HEADER, at + size),
        };
        at += (size + 3) & ~3;
      }
    }
  }
}

function throwOn(errorBody: Buffer, what: string): void {
  const code = errorBody.readInt32LE(0);
  if (code !== 0) throw new SysError(what, -code, null);
}
