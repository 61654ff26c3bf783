import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CHECKSUMS } from '../../src/s3/server/checksums.ts';

const WIDTHS = { crc32c: [32n, 0x82f63b78n], crc64nvme: [64n, 0x9a6c9329ac4bc9b5n] } as const;
const names = Object.keys(WIDTHS) as (keyof typeof WIDTHS)[];

/** One bit after the other, as the reflected polynomial says. */
function byDefinition(name: keyof typeof WIDTHS, bytes: Uint8Array): string {
  const [width, polynomial] = WIDTHS[name];
  const ones = (1n << width) - 1n;
  let sum = ones;
  for (const byte of bytes) {
    sum ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) sum = sum & 1n ? (sum >> 1n) ^ polynomial : sum >> 1n;
  }
  return (sum ^ ones).toString(16).padStart(Number(width) / 4, '0');
}

test.each(names)('%s is what its definition says, however the bytes are cut', (name) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, at) => {
    const sum = CHECKSUMS[name]!();
    sum.update(Buffer.from(bytes.subarray(0, at)));
    sum.update(Buffer.from(bytes.subarray(at)));
    expect(sum.digest().toString('hex')).toBe(byDefinition(name, bytes));
  }));
});

// The event loop of the API computes it: AWS's own clients send CRC-64/NVME with every upload unless told otherwise.
test.each(names)('%s costs no more than three times what MD5 does', (name) => {
  const bytes = randomBytes(64 * 1024);
  const cpuOf = (sum: { update(bytes: Buffer): unknown }, rounds: number) => {
    const before = process.cpuUsage();
    for (let i = 0; i < rounds; i++) sum.update(bytes);
    const { user, system } = process.cpuUsage(before);
    return user + system;
  };
  cpuOf(CHECKSUMS[name]!(), 100); // compiled by then
  const ratios = Array.from({ length: 5 }, () => cpuOf(CHECKSUMS[name]!(), 300) / cpuOf(createHash('md5'), 300)).sort((a, b) => a - b);
  expect(ratios[2]).toBeLessThan(3);
});
