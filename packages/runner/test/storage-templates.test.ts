import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BtrfsDisks, DirectoryDisks } from '../src/storage/index.ts';
import { StorageBed } from './storage-bed.ts';

const MIB = 1024 ** 2;
const EDQUOT = -122;

for (const [name, Driver] of [['btrfs', BtrfsDisks], ['directory', DirectoryDisks]] as const) {
  describe(`template disks on ${name}`, () => {
    let bed: StorageBed;
    let disks: InstanceType<typeof Driver>;
    const file = (id: string, path: string): string => join(disks.upper(id), path);

    beforeEach(async () => {
      bed = new StorageBed();
      disks = new Driver(bed.settings());
      await disks.open();
      await disks.create('a', 256 * MIB);
    });

    afterEach(async () => {
      await disks.close();
      bed.dispose();
    });

    it('hold the files of their moment, and clones of them are independent', async () => {
      writeFileSync(file('a', 'f'), 'one');
      execFileSync('mknod', [file('a', 'gone'), 'c', '0', '0']);
      await disks.snapshot('a', 't');
      await disks.settleSnapshot('a', 't', 256 * MIB);
      writeFileSync(file('a', 'f'), 'two');
      await disks.create('b', 256 * MIB, 't');
      await disks.create('c', 256 * MIB, 't');
      expect(readFileSync(file('b', 'f'), 'utf8')).toBe('one');
      expect(statSync(file('b', 'gone')).isCharacterDevice()).toBe(true);
      writeFileSync(file('b', 'f'), 'three');
      expect(readFileSync(file('c', 'f'), 'utf8')).toBe('one');
      await disks.templates.destroy('t');
      expect(readFileSync(file('c', 'f'), 'utf8')).toBe('one');
      expect(await disks.templates.list()).toEqual([]);
    });

    it('are made of what was fetched, and a clone of such a one may be rebuilt with all that it had from it', async () => {
      const upper = await disks.rebuild('t', 20 * MIB);
      writeFileSync(join(upper, 'f'), Buffer.alloc(20 * MIB, 'x'));
      const bytes = await disks.adoptTemplate('t');
      expect(bytes).toBeGreaterThanOrEqual(20 * MIB);
      expect(await disks.templates.list()).toEqual(['t']);
      await disks.create('b', 256 * MIB, 't');
      expect(statSync(file('b', 'f')).size).toBe(20 * MIB);
      if (disks instanceof BtrfsDisks) expect(disks.allowance('b', 't')).toBe(bytes);
      // A half-fetched one is no template, and a fetched one takes the place of another.
      writeFileSync(join(await disks.rebuild('t', 0), 'g'), 'new');
      await disks.dropRebuild('t');
      expect(existsSync(join(disks.templates.upper('t'), 'f'))).toBe(true);
      writeFileSync(join(await disks.rebuild('t', 0), 'g'), 'new');
      await disks.adoptTemplate('t');
      expect(readdirSync(disks.templates.upper('t'))).toEqual(['g']);
      await disks.templates.destroy('t');
      expect(statSync(file('b', 'f')).size).toBe(20 * MIB);
    });

    it('outlive the disk they were made of, and a reopened pool', async () => {
      writeFileSync(file('a', 'f'), 'one');
      await disks.snapshot('a', 't');
      await disks.destroy('a');
      await disks.close();
      disks = new Driver(bed.settings());
      await disks.open();
      expect(await disks.templates.list()).toEqual(['t']);
      expect(readFileSync(join(disks.templates.upper('t'), 'f'), 'utf8')).toBe('one');
      await disks.create('b', 256 * MIB, 't');
      await disks.snapshot('b', 'u');
      await disks.create('c', 256 * MIB, 'u');
      expect(readFileSync(file('c', 'f'), 'utf8')).toBe('one');
    });

    it('a clone starts only where the template is', async () => {
      await expect(disks.create('b', 256 * MIB, 'never')).rejects.toThrow('not on this runner');
      expect(await disks.list()).toEqual(['a']);
    });

    it('a rebuilt disk takes the place of the old one at once, and an unfinished one goes with the runner', async () => {
      writeFileSync(file('a', 'f'), 'old');
      const upper = await disks.rebuild('a', MIB);
      writeFileSync(join(upper, 'f'), 'new');
      expect(readFileSync(file('a', 'f'), 'utf8')).toBe('old');
      await disks.adoptRebuild('a', 0);
      expect(readFileSync(file('a', 'f'), 'utf8')).toBe('new');
      await disks.rebuild('b', MIB);
      await disks.close();
      disks = new Driver(bed.settings());
      await disks.open();
      expect(await disks.list()).toEqual(['a']);
      expect(readdirSync(join(disks.poolDir, 'rebuilds'))).toEqual([]);
    });

    it('a rebuild that cannot fit is refused before it begins', async () => {
      await expect(disks.rebuild('a', 1e15)).rejects.toThrow('has no room');
      expect(existsSync(join(disks.poolDir, 'rebuilds/a'))).toBe(false);
    });
  });
}

describe('quota of disks that were snapshotted', () => {
  let bed: StorageBed;
  let disks: BtrfsDisks;
  const fill = (id: string, name: string, mebibytes: number): boolean => {
    try {
      writeFileSync(join(disks.upper(id), name), Buffer.alloc(mebibytes * MIB, 1), { flush: true });
      return true;
    } catch (error) {
      expect((error as NodeJS.ErrnoException).errno).toBe(EDQUOT);
      return false;
    }
  };
  const clean = (id: string, name: string): void => {
    rmSync(join(disks.upper(id), name));
    execFileSync('sync', ['--file-system', disks.poolDir]);
  };

  beforeEach(async () => {
    bed = new StorageBed();
    disks = new BtrfsDisks(bed.settings());
    await disks.open();
    await disks.create('a', 64 * MIB);
  });

  afterEach(async () => {
    await disks.close();
    bed.dispose();
  });

  it('the source can use again what it deletes, though the snapshot keeps it', async () => {
    expect(fill('a', 'f', 48)).toBe(true);
    await disks.snapshot('a', 't');
    await disks.settleSnapshot('a', 't', 64 * MIB);
    clean('a', 'f');
    expect(fill('a', 'g', 48)).toBe(true);
    expect(fill('a', 'h', 80)).toBe(false);
  });

  it('a clone has its whole quota for what it writes, and not more', async () => {
    expect(fill('a', 'f', 48)).toBe(true);
    await disks.snapshot('a', 't');
    await disks.create('b', 64 * MIB, 't');
    await disks.setQuota('b', 64 * MIB); // as its mount does
    expect(fill('b', 'g', 48)).toBe(true);
    expect(fill('b', 'h', 48)).toBe(false);
  });

  it('without a living snapshot the quota is the plain one', async () => {
    expect(fill('a', 'f', 48)).toBe(true);
    await disks.snapshot('a', 't');
    await disks.settleSnapshot('a', 't', 64 * MIB);
    await disks.templates.destroy('t');
    await disks.setQuota('a', 64 * MIB);
    expect(fill('a', 'g', 48)).toBe(false);
  });

  it('a disk rebuilt with an allowance may hold what its template gave it', async () => {
    const upper = await disks.rebuild('a', 96 * MIB);
    writeFileSync(join(upper, 'f'), Buffer.alloc(96 * MIB, 1), { flush: true });
    await disks.adoptRebuild('a', 64 * MIB);
    await disks.setQuota('a', 64 * MIB);
    expect(fill('a', 'g', 16)).toBe(true);
    expect(fill('a', 'h', 64)).toBe(false);
    expect(disks.allowance('a', null)).toBe(64 * MIB);
  });
});
