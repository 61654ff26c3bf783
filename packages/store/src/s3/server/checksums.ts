import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** Sum over a body that comes in pieces. */
export interface Checksum {
  update(bytes: Buffer): void;
  digest(): Buffer;
}

/** Algorithm as in `x-amz-checksum-<name>`. */
export const CHECKSUMS: Readonly<Record<string, () => Checksum>> = {
  crc32: () => {
    let sum = 0;
    return { update: (bytes) => void (sum = crc32(bytes, sum)), digest: () => word(sum) };
  },
  crc32c: () => {
    let sum = 0xffffffff;
    return { update: (bytes) => void (sum = castagnoli(bytes, sum)), digest: () => word(~sum >>> 0) };
  },
  crc64nvme: crc64nvme,
  sha1: () => hashed('sha1'),
  sha256: () => hashed('sha256'),
};

function hashed(algorithm: string): Checksum {
  const hash = createHash(algorithm);
  return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest() };
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

let castagnoliTable: Uint32Array | null = null;

function castagnoli(bytes: Buffer, start: number): number {
  const table = (castagnoliTable ??= Uint32Array.from({ length: 256 }, (_, index) => {
    let value = index;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    return value >>> 0;
  }));
  let sum = start;
  for (let i = 0; i < bytes.length; i++) sum = (table[(sum ^ bytes[i]!) & 0xff]! ^ (sum >>> 8)) >>> 0;
  return sum;
}

/** Upper and lower halves of the table for the reflected polynomial 0x9a6c9329ac4bc9b5. */
let nvmeTable: { high: Uint32Array; low: Uint32Array } | null = null;

function crc64nvme(): Checksum {
  const { high: highs, low: lows } = (nvmeTable ??= makeNvmeTable());
  let [high, low] = [0xffffffff, 0xffffffff];
  return {
    update(bytes) {
      for (let i = 0; i < bytes.length; i++) {
        const index = (low ^ bytes[i]!) & 0xff;
        low = (((low >>> 8) | (high << 24)) ^ lows[index]!) >>> 0;
        high = ((high >>> 8) ^ highs[index]!) >>> 0;
      }
    },
    digest: () => Buffer.concat([word(~high), word(~low)]),
  };
}

function makeNvmeTable(): { high: Uint32Array; low: Uint32Array } {
  const [high, low] = [new Uint32Array(256), new Uint32Array(256)];
  for (let index = 0; index < 256; index++) {
    let value = BigInt(index);
    for (let bit = 0; bit < 8; bit++) value = value & 1n ? (value >> 1n) ^ 0x9a6c9329ac4bc9b5n : value >> 1n;
    high[index] = Number(value >> 32n);
    low[index] = Number(value & 0xffffffffn);
  }
  return { high, low };
}
