import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootRunner, specOf, type TestRunner } from './support.ts';

/** How long fifty take is measured by the benchmark; here it counts that none is lost. */
const BURST = 50;
/** Private memory of an idle sandbox. */
const IDLE_KIB = 15 * 1024;

let runner: TestRunner;
beforeAll(async () => {
  runner = await bootRunner();
});
afterAll(() => runner.destroy());

describe('fifty creates at once', () => {
  it('all succeed, cost little, and go again', async () => {
    const specs = Array.from({ length: BURST }, () => specOf({ memoryGiB: 0.5 }));
    const answers = await Promise.all(specs.map((spec) => runner.put(spec)));
    expect(answers.map(({ status }) => status)).toEqual(specs.map(() => 200));

    const privateKib = specs.map(({ id }) => processesOf(id).reduce((sum, pid) => sum + privateMemoryKib(pid), 0));
    expect(Math.max(...privateKib)).toBeLessThan(IDLE_KIB);

    await Promise.all(specs.map(({ id }) => runner.remove(id)));
    expect(await runner.list()).toEqual([]);
  });
});

function processesOf(id: string): number[] {
  const group = `/sys/fs/cgroup/pids/${runner.layout.cgroup}/${id}/cgroup.procs`;
  const text = readFileSync(group.replace('/pids/', existsV1() ? '/pids/' : '/'), 'utf8');
  return text.split('\n').filter(Boolean).map(Number);
}

function existsV1(): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8').includes('/sys/fs/cgroup/pids ');
}

function privateMemoryKib(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return [...text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+)/gm)].reduce((sum, [, kib]) => sum + Number(kib), 0);
}
