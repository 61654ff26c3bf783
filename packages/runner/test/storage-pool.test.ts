import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BtrfsDisks } from '../src/storage/index.ts';
import { mount } from '../src/sys/index.ts';
import { StorageBed } from './storage-bed.ts';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

describe('the pool', () => {
  let bed: StorageBed;
  const opened: BtrfsDisks[] = [];

  beforeEach(() => {
    bed = new StorageBed();
  });

  afterEach(async () => {
    for (const disks of opened.splice(0)) await disks.close();
    bed.dispose();
  });

  async function open(sizeGiB?: number): Promise<BtrfsDisks> {
    const disks = new BtrfsDisks(bed.settings(sizeGiB));
    opened.push(disks);
    await disks.open();
    return disks;
  }

  const image = (): string => join(bed.layout.dataDir, 'pool.img');

  function loopDevices(): string[] {
    return readdirSync('/sys/block').filter((name) => {
      const file = `/sys/block/${name}/loop/backing_file`;
      return existsSync(file) && readFileSync(file, 'utf8').startsWith(bed.dir);
    });
  }

  it('takes the room below it as it is used', async () => {
    await open(64);
    expect(statSync(image()).size).toBe(64 * GIB);
    expect(statSync(image()).blocks * 512).toBeLessThan(200 * MIB);
  });

  it('frees its loop device when it is closed', async () => {
    const disks = await open();
    expect(loopDevices()).toHaveLength(1);
    await disks.close();
    await until(() => loopDevices().length === 0);
  });

  it('grows with the setting', async () => {
    const disks = await open(4);
    await disks.close();
    const larger = await open(6);
    expect((await larger.usage()).totalBytes).toBeGreaterThan(5.5 * GIB);
  });

  it('is not begun where there is too little room, with a message that says what to do', async () => {
    mkdirSync(bed.layout.dataDir, { recursive: true });
    mount('small', bed.layout.dataDir, 'tmpfs', 0n, 'size=100m');
    await expect(open()).rejects.toThrow(/needs at least 3 GiB.*has 0\.1 GiB free.*PADDOCK_DATA_DIR/s);
    expect(existsSync(image())).toBe(false);
  });

  it('is made anew when making it was interrupted', async () => {
    mkdirSync(bed.layout.dataDir, { recursive: true });
    writeFileSync(`${image()}.new`, 'half');
    truncateSync(`${image()}.new`, GIB);
    await open();
    expect(existsSync(`${image()}.new`)).toBe(false);
  });

  it('is finished when the runner was killed between file system and layers', async () => {
    mkdirSync(bed.layout.dataDir, { recursive: true });
    writeFileSync(image(), '');
    truncateSync(image(), 4 * GIB);
    execFileSync('mkfs.btrfs', ['--quiet', image()]);
    const disks = await open();
    mkdirSync(join(disks.layersDir, 'layer'));
    expect(statSync(join(disks.layersDir, 'layer')).ino).toBeGreaterThan(2 ** 31);
  });

  it('tells what can really be written, not what a sparse file promises', async () => {
    const disks = await open(15_000);
    const below = statfsSync(bed.dir);
    expect((await disks.usage()).totalBytes).toBeLessThan(Math.min(15_000 * GIB, below.blocks * below.bsize));
  });

  it('is found again at once after kill -9, with its data and nothing left mounted', async () => {
    const program = `
      import { BtrfsDisks } from ${JSON.stringify(fileURLToPath(new URL('../src/storage/index.ts', import.meta.url)))};
      import { layoutOf } from ${JSON.stringify(fileURLToPath(new URL('../../contract/src/index.ts', import.meta.url)))};
      const log = { info() {}, warn() {} };
      const disks = new BtrfsDisks({ layout: layoutOf(${JSON.stringify(bed.layout.dataDir)}, ${JSON.stringify(join(bed.dir, 'run'))}), sizeGiB: 4, device: null, log });
      await disks.open();
      for (let i = 0; ; i += 1) {
        await disks.create('disk' + i % 20, ${8 * MIB});
        if (i === 25) console.log('busy');
        if (i % 3 === 0) await disks.destroy('disk' + (i * 7) % 20);
      }`;
    for (let round = 0; round < 4; round += 1) {
      const child = spawn('unshare', ['--mount', '--propagation', 'slave', '--', process.execPath, '--input-type=module-typescript', '-e', program], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    }
    const disks = await open();
    for (const id of await disks.list()) await disks.destroy(id);
    expect(await disks.list()).toEqual([]);
    expect(readdirSync(join(disks.poolDir, 'trash'))).toEqual([]);
    expect(execFileSync('btrfs', ['subvolume', 'list', disks.poolDir], { encoding: 'utf8' }).trim()).toMatch(/path layers$/);
    await disks.close();
    await until(() => loopDevices().length === 0);
  });

  it('forgets the quotas of deleted disks', async () => {
    const disks = await open();
    execFileSync('mount', ['-o', 'remount,commit=1', disks.poolDir]); // the default is 30 s
    for (let index = 0; index < 20; index += 1) {
      await disks.create(`disk${index}`, 8 * MIB);
      await disks.destroy(`disk${index}`);
    }
    execFileSync('btrfs', ['subvolume', 'sync', disks.poolDir]);
    await disks.close();
    const again = await open();
    const groups = execFileSync('btrfs', ['qgroup', 'show', again.poolDir], { encoding: 'utf8' }).match(/^0\/\d+/gm);
    expect(groups).toHaveLength(2); // the top and the layers
  });
});

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; !condition(); ) {
    if (Date.now() > deadline) throw new Error('it did not come true');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
