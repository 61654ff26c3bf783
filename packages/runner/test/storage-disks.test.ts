import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BtrfsDisks, DirectoryDisks } from '../src/storage/index.ts';
import { asFs, listMounts } from '../src/sys/index.ts';
import { StorageBed } from './storage-bed.ts';

const MIB = 1024 ** 2;

for (const [name, Driver] of [['btrfs', BtrfsDisks], ['directory', DirectoryDisks]] as const) {
  describe(`disks on ${name}`, () => {
    let bed: StorageBed;
    let disks: InstanceType<typeof Driver>;

    beforeEach(async () => {
      bed = new StorageBed();
      disks = new Driver(bed.settings());
      await disks.open();
    });

    afterEach(async () => {
      await disks.close();
      bed.dispose();
    });

    it('shows layers and the sandbox\'s own files with the ids of its user namespace', async () => {
      const slot = await bed.slot();
      const top = bed.layer('top', { 'etc/name': 'top' });
      const bottom = bed.layer('bottom', { 'etc/name': 'bottom', 'etc/only': 'bottom' });
      await disks.create('a', 64 * MIB);
      const root = await disks.mount('a', [top, bottom], slot);
      expect(readFileSync(join(root, 'etc/name'), 'utf8')).toBe('top');
      expect(readFileSync(join(root, 'etc/only'), 'utf8')).toBe('bottom');
      expect(statSync(join(root, 'etc/name')).uid).toBe(slot.idBase);
      asFs(slot.idBase, () => {
        writeFileSync(join(root, 'etc/new'), 'x');
        writeFileSync(join(root, 'etc/name'), 'changed');
      });
      expect(readFileSync(join(top, 'etc/name'), 'utf8')).toBe('top');
      await disks.unmount('a');
      expect(existsSync(join(disks.poolDir, 'disks/a/upper/etc/new'))).toBe(true);
      expect(statSync(join(disks.poolDir, 'disks/a/upper/etc/new')).uid).toBe(0);
    });

    it('keeps data when the disk is created again', async () => {
      await disks.create('a', 64 * MIB);
      writeFileSync(join(disks.poolDir, 'disks/a/upper/kept'), '');
      await disks.create('a', 64 * MIB);
      expect(existsSync(join(disks.poolDir, 'disks/a/upper/kept'))).toBe(true);
    });

    it('mounts a hundred and twenty layers', async () => {
      const slot = await bed.slot();
      const layers = Array.from({ length: 120 }, (_, index) => bed.layer(`l${index}`, { [`f${index}`]: '' }));
      await disks.create('a', 64 * MIB);
      const root = await disks.mount('a', layers, slot);
      expect(readdirSync(root)).toHaveLength(120);
      expect(listMounts().find((point) => point.target === root)!.options).not.toContain(bed.dir);
    });

    it('allows set-uid programs, but no device nodes', async () => {
      const slot = await bed.slot();
      await disks.create('a', 64 * MIB);
      const root = await disks.mount('a', [bed.layer('l', {})], slot);
      const options = listMounts().find((point) => point.target === root)!.options.split(',');
      expect(options).toContain('nodev');
      expect(options).not.toContain('nosuid');
    });

    it('hides the pool from other users of the host', () => {
      expect(statSync(disks.poolDir).mode & 0o777).toBe(0o700);
    });

    it('destroys twice, and while mounted', async () => {
      const slot = await bed.slot();
      await disks.create('a', 64 * MIB);
      await disks.mount('a', [bed.layer('l', {})], slot);
      await disks.destroy('a');
      await disks.destroy('a');
      expect(await disks.list()).toEqual([]);
      expect(listMounts().filter((point) => point.target.startsWith(bed.layout.runDir))).toEqual([]);
      expect(readdirSync(join(bed.layout.runDir, 'roots'))).toEqual([]);
    });

    it('refuses ids that are paths', async () => {
      for (const id of ['..', '../x', 'a/b', '', '.hidden']) await expect(disks.create(id, MIB)).rejects.toMatchObject({ code: 'INVALID_SPEC' });
    });

    it('leaves nothing mounted when a layer is missing', async () => {
      const slot = await bed.slot();
      await disks.create('a', 64 * MIB);
      await expect(disks.mount('a', [join(bed.dir, 'absent')], slot)).rejects.toMatchObject({ code: 'ENOENT' });
      expect(listMounts().filter((point) => point.target.startsWith(bed.layout.runDir))).toEqual([]);
    });

    it('finds its disks after a restart', async () => {
      await disks.create('a', 64 * MIB);
      await disks.close();
      disks = new Driver(bed.settings());
      await disks.open();
      expect(await disks.list()).toEqual(['a']);
    });

    if (name === 'directory') it('says that there are no quotas', () => expect(bed.warnings.join()).toMatch(/NO DISK QUOTAS/));
  });
}
