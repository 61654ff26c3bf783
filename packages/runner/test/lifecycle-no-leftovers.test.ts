import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootRunner, traces, type TestRunner } from './support.ts';

/** The long form is 1,000. */
const CYCLES = Number(process.env['PADDOCK_CYCLES'] ?? 200);
const AT_ONCE = 4;

let runner: TestRunner;
beforeAll(async () => {
  runner = await bootRunner();
});
afterAll(() => runner.destroy());

describe(`${CYCLES} creates and deletes`, () => {
  it('leave the machine as it was', async () => {
    const cycle = async (): Promise<void> => runner.remove((await runner.create({ memoryGiB: 0.5 })).id);
    for (let warmUp = 0; warmUp < 2 * AT_ONCE; warmUp++) await cycle();
    const before = await census();
    for (let done = 0; done < CYCLES; done += AT_ONCE) await Promise.all(Array.from({ length: AT_ONCE }, cycle));
    // The kernel takes namespaces and links apart in the background.
    await expect.poll(census, { timeout: 20_000, interval: 250 }).toEqual(before);
    expect(openFiles()).toBeLessThan(120);
  }, 300_000);

  it('and a stopped instance leaves nothing at all', async () => {
    await runner.stop();
    await expect.poll(() => traces(runner.layout), { timeout: 20_000, interval: 250 }).toEqual([]);
    expect(readdirSync(join(runner.layout.runDir, 'sandboxes'))).toEqual([]);
  });
});

/** Counts of everything a sandbox is made of, as the runner's mount namespace and the machine show them. */
async function census(): Promise<Record<string, number>> {
  const mountinfo = readFileSync(`/proc/${runner.pid}/mountinfo`, 'utf8');
  const cgroups = readdirSync('/sys/fs/cgroup').map((name) => join('/sys/fs/cgroup', name, runner.layout.cgroup)).concat(join('/sys/fs/cgroup', runner.layout.cgroup));
  const disks = `/proc/${runner.pid}/root${runner.layout.dataDir}/pool/disks`;
  return {
    // Slots kept ready for the next create come and go by a few.
    mounts: mountinfo.split('\n').filter((line) => line.includes(runner.layout.runDir) && !line.includes('/slots/')).length,
    cgroups: cgroups.filter(existsSync).flatMap((path) => readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory())).length,
    disks: readdirSync(disks).length,
    records: readdirSync(join(disks, '../records')).length,
    runDirs: readdirSync(join(runner.layout.runDir, 'sandboxes')).length,
    runtimeStates: readdirSync(join(runner.layout.runDir, 'runc')).length,
  };
}

function openFiles(): number {
  return readdirSync(`/proc/${runner.pid}/fd`).length;
}
