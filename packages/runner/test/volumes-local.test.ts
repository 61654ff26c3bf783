import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BtrfsDisks, DirectoryDisks } from '../src/storage/index.ts';
import { createSubvolume } from '../src/storage/btrfs.ts';
import { withDirectory } from '../src/storage/pool.ts';
import { LocalVolumes } from '../src/volumes/index.ts';
import { StorageBed } from './storage-bed.ts';

const GIB = 1024 ** 3;

for (const [name, Driver] of [['btrfs', BtrfsDisks], ['directory', DirectoryDisks]] as const) {
  describe(`local volumes on ${name}`, () => {
    let bed: StorageBed;
    let disks: InstanceType<typeof Driver>;
    let volumes: LocalVolumes;
    let freeBytes = GIB;
    const open = async (): Promise<void> => {
      volumes = new LocalVolumes({ poolDir: disks.poolDir, subvolumes: name === 'btrfs', quotaBytes: GIB, freeBytes: async () => freeBytes });
      await volumes.open();
    };
    const live = (id: string): string => join(disks.poolDir, 'volumes/live', id);

    beforeEach(async () => {
      freeBytes = GIB;
      bed = new StorageBed();
      disks = new Driver(bed.settings());
      await disks.open();
      await open();
    });
    afterEach(async () => {
      await volumes.close();
      await disks.close();
      bed.dispose();
    });

    it('are there once and whole, for everyone to write to, and keep what they hold', async () => {
      const id = randomUUID();
      await volumes.create(id);
      expect(statSync(live(id)).mode & 0o7777).toBe(0o777);
      writeFileSync(join(live(id), 'f'), 'kept');
      await volumes.create(id);
      expect(readdirSync(live(id))).toEqual(['f']);
      expect(await volumes.list()).toEqual([id]);
      await volumes.destroy(id);
      await volumes.destroy(id);
      expect(await volumes.list()).toEqual([]);
      expect(readdirSync(join(disks.poolDir, 'volumes/trash'))).toEqual([]);
    });

    it('are shown by a mount that is nowhere yet; what is not there is null', async () => {
      const id = randomUUID();
      const userNs = openSync((await bed.slot()).userNsPath, 'r');
      expect(await volumes.detach(id, null, userNs, 0n)).toBeNull();
      await volumes.create(id);
      const [all, part] = [(await volumes.detach(id, null, userNs, 0n))!, (await volumes.detach(id, 'a/b', userNs, 0n))!];
      expect(fstatSync(all).ino).toBe(statSync(live(id)).ino);
      expect(fstatSync(part).ino).toBe(statSync(join(live(id), 'a/b')).ino);
      expect(statSync(join(live(id), 'a')).mode & 0o777).toBe(0o777);
      for (const fd of [all, part, userNs]) closeSync(fd);
    });

    it('are made nowhere when the pool is full', async () => {
      freeBytes = 1024;
      const id = randomUUID();
      await expect(volumes.create(id)).rejects.toMatchObject({ code: 'RUNNER_FULL' });
      expect(existsSync(live(id))).toBe(false);
    });

    it('that a killed runner was making or deleting are gone after the next start', async () => {
      const id = randomUUID();
      const making = join(disks.poolDir, 'volumes/new');
      if (name === 'btrfs') withDirectory(making, (fd) => createSubvolume(fd, id));
      else mkdirSync(join(making, id));
      mkdirSync(join(disks.poolDir, 'volumes/trash/-x'));
      await volumes.close();
      await open();
      expect([readdirSync(join(disks.poolDir, 'volumes/new')), readdirSync(join(disks.poolDir, 'volumes/trash'))]).toEqual([[], []]);
      expect(await volumes.list()).toEqual([]);
    });
  });
}
