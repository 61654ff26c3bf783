/**
 * Output of a command as records: `[length of the payload, u32 LE][marker, 3 bytes][payload]`. The marker is the one clients
 * know, so that a frame for the wire is a record without its length.
 *
 * Wire: `01 01 01` switches to stdout, `02 02 02` to stderr. A payload that happens to hold a marker's bytes cannot be told from
 * one on the marked stream; the texts that are split here are exact.
 */
export type Stream = 1 | 2;

export const STDOUT: Stream = 1;
export const STDERR: Stream = 2;

export const MARKER_BYTES = 3;
const LENGTH_BYTES = 4;
export const HEADER_BYTES = LENGTH_BYTES + MARKER_BYTES;

/** One read of a pipe (64 KiB) and up to three bytes of an unfinished character before it. */
export const MAX_PAYLOAD_BYTES = 64 * 1024 + 3;
export const MAX_RECORD_BYTES = HEADER_BYTES + MAX_PAYLOAD_BYTES;

/** Wire: any size is legal, but one client copies a frame through a function call's arguments, which end at some 100,000. */
export const MAX_FRAME_BYTES = 32 * 1024;

/** A record holding a copy of `before` and `chunk`. */
export function record(stream: Stream, before: Uint8Array, chunk: Uint8Array): Buffer {
  const length = before.length + chunk.length;
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + length);
  bytes.writeUInt32LE(length, 0);
  bytes.fill(stream, LENGTH_BYTES, HEADER_BYTES);
  bytes.set(before, HEADER_BYTES);
  bytes.set(chunk, HEADER_BYTES + before.length);
  return bytes;
}

/** Length of the longest beginning that holds whole records. */
export function wholeRecords(bytes: Buffer): number {
  let at = 0;
  while (at + HEADER_BYTES <= bytes.length) {
    const end = at + HEADER_BYTES + bytes.readUInt32LE(at);
    if (end > bytes.length) break;
    at = end;
  }
  return at;
}

/** The payloads of whole records, without copying. */
export function* payloads(records: Buffer): Generator<readonly [stream: Stream, payload: Buffer]> {
  for (let at = 0; at < records.length;) {
    const from = at + HEADER_BYTES;
    const to = from + records.readUInt32LE(at);
    yield [records[at + LENGTH_BYTES] as Stream, records.subarray(from, to)];
    at = to;
  }
}

/**
 * Frames for a stream: each begins with a marker and splits none, and no frame ends within a UTF-8 character that its record
 * completes. Small records share a frame. A frame is only valid until the next one is asked for.
 * @param marked false: the combined text, without markers
 */
export function* frames(records: Buffer, marked: boolean, scratch: Buffer): Generator<Buffer> {
  const overhead = marked ? MARKER_BYTES : 0;
  let filled = 0;
  for (const [stream, payload] of payloads(records)) {
    for (let at = 0; at < payload.length;) {
      if (filled + overhead + Math.min(payload.length - at, 4096) > scratch.length) {
        yield scratch.subarray(0, filled);
        filled = 0;
      }
      const rest = payload.subarray(at);
      const length = wholeCharacters(rest, scratch.length - filled - overhead);
      scratch.fill(stream, filled, filled + overhead);
      filled += overhead;
      filled += payload.copy(scratch, filled, at, at + length);
      at += length;
    }
  }
  if (filled > 0) yield scratch.subarray(0, filled);
}

/** At most `limit` bytes, fewer when the cut would fall within a character. */
function wholeCharacters(bytes: Uint8Array, limit: number): number {
  if (bytes.length <= limit) return bytes.length;
  let at = limit;
  while (at > limit - 4 && at > 0 && (bytes[at]! & 0xc0) === 0x80) at--;
  return at > 0 && (bytes[at]! & 0xc0) !== 0x80 ? at : limit;
}

/** How many bytes at the end begin a UTF-8 character that is not complete: 0 to 3. */
export function unfinishedCharacter(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const needs = byte >= 0xf0 && byte < 0xf8 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
    return byte < 0xf8 && needs > back ? back : 0;
  }
  return 0;
}
