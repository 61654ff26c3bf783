/** Blocks and extended headers of tars: ustar, GNU, PAX. */
import { BadLayer, type Segment } from './tar-entry.ts';

export const BLOCK = 512;

/** Offset and length of the fields of a header block. */
const FIELD = {
  name: [0, 100], mode: [100, 8], uid: [108, 8], gid: [116, 8], size: [124, 12], mtime: [136, 12], checksum: [148, 8], type: [156, 1],
  linkName: [157, 100], magic: [257, 8], prefix: [345, 155],
} as const;

/** GNU's sparse map: in a header block, and in the blocks that follow it. */
const SPARSE = { at: 386, count: 4, more: 482, realSize: 483, extension: { count: 21, more: 504 }, size: 24 } as const;

export interface Header {
  readonly type: string;
  readonly name: string;
  readonly linkName: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
}

export function isZero(block: Buffer): boolean {
  for (let at = 0; at < BLOCK; at += 4) if (block.readUInt32LE(at) !== 0) return false;
  return true;
}

export function parseHeader(block: Buffer): Header {
  const [checksumAt, checksumLength] = FIELD.checksum;
  const expected = number(block, FIELD.checksum);
  let sum = 0;
  let signed = 0;
  for (let at = 0; at < BLOCK; at += 1) {
    const byte = at >= checksumAt && at < checksumAt + checksumLength ? 32 : block[at]!;
    sum += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  if (expected !== sum && expected !== signed) throw new BadLayer('it is no tar: the checksum of a header is wrong');
  // Only POSIX has a prefix: GNU keeps other things there.
  const prefix = block.toString('latin1', FIELD.magic[0], FIELD.magic[0] + 6) === 'ustar\0' ? text(block, FIELD.prefix) : '';
  const name = text(block, FIELD.name);
  return {
    type: String.fromCharCode(block[FIELD.type[0]]!), name: prefix === '' ? name : `${prefix}/${name}`, linkName: text(block, FIELD.linkName),
    mode: number(block, FIELD.mode), uid: number(block, FIELD.uid), gid: number(block, FIELD.gid),
    size: number(block, FIELD.size), mtime: number(block, FIELD.mtime),
  };
}

/** @param extension a block that follows the header @returns whether another block of the map follows */
export function readSparse(block: Buffer, extension: boolean, map: Segment[]): boolean {
  const { at, count, more } = extension ? { at: 0, ...SPARSE.extension } : SPARSE;
  for (let index = 0; index < count; index += 1) {
    const start = at + index * SPARSE.size;
    if (block[start] === 0) break;
    map.push({ offset: number(block, [start, 12]), length: number(block, [start + 12, 12]) });
  }
  return block[more] === 1;
}

export function sparseSize(block: Buffer): number {
  return number(block, [SPARSE.realSize, 12]);
}

/** Records of a PAX header in their order: a sparse map of the first version repeats its names. */
export function parsePax(body: Buffer): Array<readonly [name: string, value: Buffer]> {
  const records: Array<readonly [string, Buffer]> = [];
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(32, at);
    const digits = space < 0 || space - at > 10 ? '' : body.toString('latin1', at, space);
    const end = at + Number(digits);
    const equals = body.indexOf(61, space + 1);
    if (!/^[1-9]\d*$/.test(digits) || end > body.length || equals < 0 || equals >= end - 1 || body[end - 1] !== 10) {
      // Some writers pad with zeros.
      if (body.subarray(at).every((byte) => byte === 0)) break;
      throw new BadLayer('it is no tar: an extended header is wrong');
    }
    records.push([body.toString('latin1', space + 1, equals), body.subarray(equals + 1, end - 1)]);
    at = end;
  }
  return records;
}

/** A decimal of a PAX record. */
export function decimal(value: Buffer, what: string): number {
  const digits = value.toString('latin1');
  const result = Number(digits);
  if (!/^-?\d{1,20}(?:\.\d*)?$/.test(digits) || !Number.isFinite(result)) throw new BadLayer(`it is no tar: ${what} is no number`);
  return result;
}

function text(block: Buffer, [at, length]: readonly [number, number]): string {
  const end = block.indexOf(0, at);
  return block.toString('latin1', at, end < 0 || end > at + length ? at + length : end);
}

/** Octal digits, or binary with the highest bit set. Too large for a double's integers counts as the largest. */
function number(block: Buffer, [at, length]: readonly [number, number]): number {
  const first = block[at]!;
  if ((first & 0x80) !== 0) {
    let value = BigInt(first & 0x7f);
    for (let index = 1; index < length; index += 1) value = (value << 8n) | BigInt(block[at + index]!);
    if ((first & 0x40) !== 0) return -1; // two's complement; nothing here may be negative
    return Number(value > BigInt(Number.MAX_SAFE_INTEGER) ? BigInt(Number.MAX_SAFE_INTEGER) : value);
  }
  let value = 0;
  for (let index = at; index < at + length; index += 1) {
    const byte = block[index]!;
    if (byte === 32 && value === 0) continue;
    if (byte === 0 || byte === 32) break;
    if (byte < 48 || byte > 55) throw new BadLayer('it is no tar: a number in a header is wrong');
    value = value * 8 + byte - 48;
  }
  return value;
}
