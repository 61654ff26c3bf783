import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { crc32c } from '../src/storage/crc32c.ts';
import { BtrfsDisks } from '../src/storage/index.ts';
import { closePool, openPool } from '../src/storage/pool.ts';
import { asFs } from '../src/sys/index.ts';
import { StorageBed } from './storage-bed.ts';

const MIB = 1024 ** 2;

describe('inode numbers', () => {
  let bed: StorageBed;
  let disks: BtrfsDisks;

  beforeEach(async () => {
    bed = new StorageBed();
    disks = new BtrfsDisks(bed.settings());
    await disks.open();
  });

  afterEach(async () => {
    await disks.close();
    bed.dispose();
  });

  it('of a layer and of the sandbox\'s own files are never the same', async () => {
    await fill(join(disks.layersDir, 'layer'), 'lower');
    // After a restart, too, numbers go on where they were.
    await disks.close();
    await disks.open();
    await fill(join(disks.layersDir, 'layer'), 'later');
    await disks.create('a', 64 * MIB);
    const slot = await bed.slot();
    const root = await disks.mount('a', [join(disks.layersDir, 'layer')], slot);
    asFs(slot.idBase, () => fill(root, 'upper'));
    const names = readdirSync(root);
    const identities = names.map((name) => statSync(join(root, name))).map(({ dev, ino }) => `${dev}:${ino}`);
    expect(names).toHaveLength(900);
    expect(new Set(identities).size).toBe(900);
    asFs(slot.idBase, () => writeFileSync(join(root, 'lower7'), 'copied up'));
    execFileSync('cp', ['lower8', 'upper6'], { cwd: root });
  });

  it('fit in 32 bits', () => {
    mkdirSync(join(disks.layersDir, 'layer'));
    const { ino } = statSync(join(disks.layersDir, 'layer'));
    expect(ino).toBeGreaterThan(2 ** 31);
    expect(ino).toBeLessThan(2 ** 31 + 1000);
  });

  it('leave a file system that is in order', async () => {
    // Without quotas, which the checker of older distributions does not know.
    const pool = await openPool({ dataDir: join(bed.dir, 'other'), sizeGiB: 4, device: null, label: 'test' });
    await fill(join(pool.dir, 'layers/layer'), 'lower');
    closePool(pool);
    const report = spawnSync('btrfs', ['check', '--readonly', '--force', pool.file!], { encoding: 'utf8' });
    expect(report.stdout).toContain('no error found');
  });

  it('rest on the right checksum', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe306_9283);
  });
});

function fill(dir: string, name: string): void {
  mkdirSync(dir, { recursive: true });
  for (let index = 0; index < 300; index += 1) writeFileSync(join(dir, `${name}${index}`), name);
}
