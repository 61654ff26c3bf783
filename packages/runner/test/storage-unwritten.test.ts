import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BtrfsDisks } from '../src/storage/index.ts';
import { StorageBed } from './storage-bed.ts';

const MIB = 1024 ** 2;
const WRITTEN_MIB = 1024;

describe('what sandboxes wrote and the device does not have', () => {
  let bed: StorageBed;
  let disks: BtrfsDisks;
  let opened: { unwrittenBytes?: number | null } = {};

  beforeEach(async () => {
    bed = new StorageBed();
    disks = new BtrfsDisks({ ...bed.settings(8), log: { ...bed.log, info: (facts: object) => void (opened = facts) } });
    await disks.open();
  });

  afterEach(async () => {
    await disks.close();
    bed.dispose();
  });

  it('is bounded, so that a snapshot has no gigabyte to wait for', async ({ skip }) => {
    if (opened.unwrittenBytes === null) skip('this kernel has no such bound, or bounds it by the memory of each control group');
    await disks.create('a', 4096 * MIB);
    const file = join(disks.upper('a'), 'large');
    const fd = openSync(file, 'w');
    const block = Buffer.alloc(MIB, 'x');
    for (let written = 0; written < WRITTEN_MIB; written += 1) writeSync(fd, block);
    expect(unwrittenMiB(file)).toBeLessThan(WRITTEN_MIB * 0.7);
    closeSync(fd);
  });
});

/** Of one file: other users of the machine write as well. */
function unwrittenMiB(file: string): number {
  const extents = execFileSync('filefrag', ['-v', '-b4096', file], { encoding: 'utf8' }).matchAll(/^ *\d+: +(\d+)\.\. +(\d+):.*delalloc/gm);
  return [...extents].reduce((sum, [, first, last]) => sum + Number(last) + 1 - Number(first), 0) / 256;
}
