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

const onSmallDisk = async (work: (root: string) => Promise<void>, options = 'size=4m') => {
  const root = mkdtempSync(join(tmpdir(), 'paddock-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', root]);
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
    const blobs = new DiskBlobs(root, { keepFree: { bytes: 2_000_000, files: 0 } });
    await putText(blobs, 'fits', randomBytes(1_500_000));
    await expect(putText(blobs, 'would take it', randomBytes(1_500_000))).rejects.toMatchObject({ code: 'STORE_FULL' });
    await expect(Promise.all(Array.from({ length: 8 }, (_, i) => putText(blobs, `all together ${i}`, randomBytes(300_000))))).rejects.toMatchObject({ code: 'STORE_FULL' });
    const { bavail, bsize } = statfsSync(root);
    expect(bavail * bsize).toBeGreaterThanOrEqual(2_000_000);
    blobs.close();
  });
});

/** Whatever a client may do as often as it likes, many at once, until it is refused. */
async function untilRefused(work: (i: number) => Promise<unknown>): Promise<unknown> {
  let [next, refusal]: [number, unknown] = [0, null];
  await Promise.all(Array.from({ length: 8 }, async () => {
    while (refusal === null && next < 5000) await work(next++).catch((error: unknown) => { refusal ??= error; });
  }));
  return refusal;
}

const ways: Readonly<Record<string, (blobs: DiskBlobs, i: number) => Promise<unknown>>> = {
  'empty blobs': (blobs, i) => putText(blobs, `empty-${i}`, ''),
  'small blobs deep down': (blobs, i) => putText(blobs, `${i}/${'a/'.repeat(100)}b`, 'x'),
  'copies of a large blob': (blobs, i) => blobs.copy('large', `copy-${i}`),
  'uploads of two parts': async (blobs, i) => {
    await Promise.all([putText(blobs, `${i}-1`, 'x'), putText(blobs, `${i}-2`, 'y')]);
    await blobs.compose(`composed-${i}`, [`${i}-1`, `${i}-2`]);
  },
};

test.skipIf(reason).each(Object.keys(ways))('room that others need is left to them, in bytes and in files: %s', async (way) => {
  for (const options of ['size=4m', 'size=100m,nr_inodes=2000']) {
    await onSmallDisk(async (root) => {
      const blobs = new DiskBlobs(root, { keepFree: { bytes: 2_000_000, files: 500 } });
      await putText(blobs, 'large', randomBytes(200_000));
      expect(await untilRefused((i) => ways[way]!(blobs, i))).toMatchObject({ code: 'STORE_FULL' });
      const { bavail, bsize, ffree } = statfsSync(root);
      expect(bavail * bsize).toBeGreaterThanOrEqual(2_000_000);
      expect(ffree).toBeGreaterThanOrEqual(500);
      blobs.close();
    }, options);
  }
});
