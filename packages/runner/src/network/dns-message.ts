/** The few bytes of DNS messages that a forwarder has to understand: a 12-byte header, then the question. */

const HEADER = 12;
const SERVFAIL = 2;

export function isQuery(message: Buffer): boolean {
  return message.length > HEADER && (message.readUInt8(2) & 0x80) === 0 && questionEnd(message) !== null;
}

/** @returns offset after the only question, or null when there is no such thing */
function questionEnd(message: Buffer): number | null {
  if (message.readUInt16BE(4) !== 1) return null;
  let at = HEADER;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63) return null; // cut short, or compressed, which a question never is
    at += 1 + length;
    if (length === 0) break;
  }
  return at + 4 <= message.length ? at + 4 : null;
}

export function withId(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
}

export function idOf(message: Buffer): number {
  return message.readUInt16BE(0);
}

/** Whether a message from upstream answers a query: same id, same question, marked as a reply. */
export function answers(reply: Buffer, query: Buffer): boolean {
  const end = questionEnd(query);
  if (end === null || reply.length < HEADER || idOf(reply) !== idOf(query) || (reply.readUInt8(2) & 0x80) === 0) return false;
  if (reply.readUInt16BE(4) === 0) return true; // some servers leave the question out of an error
  // Names compare without case: a server may answer with its own spelling.
  return reply.length >= end && reply.toString('latin1', HEADER, end).toLowerCase() === query.toString('latin1', HEADER, end).toLowerCase();
}

/** The reply "no server could be asked". */
export function failure(query: Buffer): Buffer {
  const end = questionEnd(query) ?? HEADER;
  const reply = Buffer.from(query.subarray(0, end));
  reply.writeUInt8((query.readUInt8(2) & 0x79) | 0x80, 2); // reply; operation and "recursion desired" as asked
  reply.writeUInt8(0x80 | SERVFAIL, 3); // recursion available
  reply.writeUInt32BE(0, 6);
  reply.writeUInt16BE(0, 10);
  return reply;
}

/** Splits a TCP stream into messages: each follows its length in two bytes. */
export class MessageReader {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): Buffer[] {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: Buffer[] = [];
    while (data.length >= 2 && data.length >= 2 + data.readUInt16BE(0)) {
      const end = 2 + data.readUInt16BE(0);
      messages.push(data.subarray(2, end));
      data = data.subarray(end);
    }
    this.#rest = data;
    return messages;
  }
}

export function framed(message: Buffer): Buffer {
  const out = Buffer.alloc(2 + message.length);
  out.writeUInt16BE(message.length, 0);
  message.copy(out, 2);
  return out;
}
