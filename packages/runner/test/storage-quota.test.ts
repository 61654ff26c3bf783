import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BtrfsDisks } from '../src/storage/index.ts';
import { asFs } from '../src/sys/index.ts';
import type { NetworkSlot } from '../src/types.ts';
import { StorageBed } from './storage-bed.ts';

const MIB = 1024 ** 2;
const EDQUOT = -122;

describe('disk quota', () => {
  let bed: StorageBed;
  let disks: BtrfsDisks;
  let slot: NetworkSlot;
  let root: string;

  beforeEach(async () => {
    bed = new StorageBed();
    disks = new BtrfsDisks(bed.settings());
    await disks.open();
    slot = await bed.slot();
    await disks.create('a', 32 * MIB);
    root = await disks.mount('a', [bed.layer('l', {})], slot);
  });

  afterEach(async () => {
    await disks.close();
    bed.dispose();
  });

  /** Does the act, as root of the sandbox, until it is refused. @returns how often it worked, and the error number */
  function untilRefused(limit: number, act: (count: number) => void): { count: number; errno: number | undefined } {
    return asFs(slot.idBase, () => {
      for (let count = 0; count < limit; count += 1) {
        try {
          act(count);
        } catch (error) {
          return { count, errno: (error as NodeJS.ErrnoException).errno };
        }
      }
      return { count: limit, errno: undefined };
    });
  }

  function writeMebibytes(name: string, limit: number): { count: number; errno: number | undefined } {
    const fd = asFs(slot.idBase, () => openSync(join(root, name), 'w'));
    try {
      const block = Buffer.alloc(MIB, 1);
      const result = untilRefused(limit, () => writeSync(fd, block));
      fsyncSync(fd);
      return result;
    } finally {
      closeSync(fd);
    }
  }

  it('refuses the write over it', () => {
    const { count, errno } = writeMebibytes('big', 64);
    expect(errno).toBe(EDQUOT);
    expect(count).toBeGreaterThan(24);
    expect(count).toBeLessThanOrEqual(32);
  });

  it('can be grown while in use', async () => {
    expect(writeMebibytes('big', 64).errno).toBe(EDQUOT);
    await disks.setQuota('a', 128 * MIB);
    expect(writeMebibytes('more', 64)).toEqual({ count: 64, errno: undefined });
  });

  it('gives room back for what was deleted', () => {
    expect(writeMebibytes('big', 64).errno).toBe(EDQUOT);
    asFs(slot.idBase, () => rmSync(join(root, 'big')));
    execFileSync('sync', ['--file-system', disks.poolDir]);
    expect(writeMebibytes('again', 16)).toEqual({ count: 16, errno: undefined });
  });

  it('holds empty files too', async () => {
    await disks.setQuota('a', 8 * MIB);
    asFs(slot.idBase, () => mkdirSync(join(root, 'many')));
    const { count, errno } = untilRefused(1_000_000, (index) => closeSync(openSync(join(root, 'many', String(index)), 'w')));
    expect(errno).toBe(EDQUOT);
    // 8 MiB of metadata at some 350 bytes a file.
    expect(count).toBeLessThan(40_000);
    asFs(slot.idBase, () => rmSync(join(root, 'many', '0')));
  });

  it('of one disk leaves the others alone', async () => {
    expect(writeMebibytes('big', 64).errno).toBe(EDQUOT);
    await disks.create('b', 32 * MIB);
    writeFileSync(join(disks.poolDir, 'disks/b/upper/f'), Buffer.alloc(8 * MIB, 1));
    writeFileSync(join(disks.recordsDir, 'record.json'), Buffer.alloc(8 * MIB, 1));
  });
});
