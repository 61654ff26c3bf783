import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiskBlobs } from '@paddock/store';
import { expect, test } from 'vitest';
import { putText, read } from './support.ts';

const reason = process.getuid?.() === 0 ? null : 'a file system of its own size needs root';
if (reason !== null) console.log(`A full disk is not tested: ${reason}`);

const onSmallDisk = async (work: (root: string) => Promise<void>) => {
  const root = mkdtempSync(join(tmpdir(), 'paddock-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', root]);
  try {
    await work(root);
  } finally {
    execFileSync('umount', [root]);
    rmSync(root, { recursive: true });
  }
};

test.skipIf(reason)('a full disk refuses what does not fit, keeps what is there and takes more once there is room', async () => {
  await onSmallDisk(async (root) => {
    const blobs = new DiskBlobs(root);
    const content = randomBytes(2_000_000);
    await putText(blobs, 'fits', content);
    await expect(putText(blobs, 'does not fit', randomBytes(3_000_000))).rejects.toMatchObject({ code: 'STORE_FULL' });
    await expect(putText(blobs, 'fits', randomBytes(3_000_000))).rejects.toMatchObject({ code: 'STORE_FULL' });
    expect((await read(blobs, 'fits'))!.equals(content)).toBe(true);
    expect(await blobs.head('does not fit')).toBeNull();
    expect(readdirSync(join(root, 'tmp'))).toEqual([]);
    await blobs.remove('fits');
    await putText(blobs, 'now', randomBytes(3_000_000));
    blobs.close();
  });
});

test.skipIf(reason)('room that others need is left to them', async () => {
  await onSmallDisk(async (root) => {
    const blobs = new DiskBlobs(root, { keepFreeBytes: 2_000_000 });
    await putText(blobs, 'fits', randomBytes(1_500_000));
    await expect(putText(blobs, 'would take it', randomBytes(1_500_000))).rejects.toMatchObject({ code: 'STORE_FULL' });
    await expect(Promise.all(Array.from({ length: 8 }, (_, i) => putText(blobs, `all together ${i}`, randomBytes(300_000))))).rejects.toMatchObject({ code: 'STORE_FULL' });
    const { bavail, bsize } = statfsSync(root);
    expect(bavail * bsize).toBeGreaterThanOrEqual(2_000_000);
    blobs.close();
  });
});
