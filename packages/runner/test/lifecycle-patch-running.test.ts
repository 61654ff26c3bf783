import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toolboxSocket, type SandboxSpec } from '@paddock/contract';
import { askUnix, bootRunner, type TestRunner } from './support.ts';

const GIB = 1024 ** 3;
let runner: TestRunner;
let spec: SandboxSpec;
beforeAll(async () => {
  runner = await bootRunner();
  spec = await runner.create({ env: { A: '1', B: '2' } });
});
afterAll(() => runner.destroy());

const patch = (change: object) => runner.ask<{ code?: string; message?: string; state?: string }>('PATCH', `/v1/sandboxes/${spec.id}`, change);
const limits = () => runner.output(spec.id, 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max');

describe('a running sandbox', () => {
  it('gets more processor time and memory without a restart', async () => {
    const pid = runner.initPid(spec.id);
    expect((await patch({ cpu: 2, memoryGiB: 2 })).status).toBe(200);
    expect(await limits()).toMatch(/^2147483648\n200000/);
    expect(runner.initPid(spec.id)).toBe(pid);
  });

  it('keeps more memory than a patch would leave it', async () => {
    await runner.output(spec.id, 'head -c 200M /dev/zero > /dev/shm/held');
    const answer = await patch({ memoryGiB: 0.125 });
    expect([answer.status, answer.body.code]).toEqual([400, 'INVALID_SPEC']);
    expect(await limits()).toMatch(/^2147483648/);
    await runner.output(spec.id, 'rm /dev/shm/held');
  });

  it('gets a larger disk, never a smaller one', async () => {
    expect(await runner.output(spec.id, 'head -c 1100M /dev/zero > ~/big 2>/dev/null; echo $?; rm -f ~/big')).toBe('1');
    expect((await patch({ diskGiB: 2 })).status).toBe(200);
    expect(await runner.output(spec.id, 'head -c 1100M /dev/zero > ~/big; echo $?; rm -f ~/big')).toBe('0');
    expect((await patch({ diskGiB: 1 })).body.code).toBe('INVALID_SPEC');
  });

  it('gets another environment for what it starts from now on', async () => {
    expect((await patch({ env: { A: 'new' } })).status).toBe(200);
    expect(await runner.output(spec.id, 'echo $A-$B')).toBe('new-');
  });

  it('keeps all of it for its next start', async () => {
    await runner.ask('POST', `/v1/sandboxes/${spec.id}/stop`);
    expect((await patch({ memoryGiB: 1.5 })).body.state).toBe('stopped');
    await runner.kill9();
    await runner.start();
    expect(await runner.get(spec.id)).toEqual({ id: spec.id, state: 'stopped' });
  });

  it('refuses what no sandbox has', async () => {
    expect((await patch({ image: 'other' })).status).toBe(400);
    expect((await patch({ cpu: -1 })).status).toBe(400);
  });
});

it('tells its own measurements of new limits, and none of its processes sees our names', async () => {
  const { id } = await runner.create({ cpu: 1, memoryGiB: 1, diskGiB: 2 });
  const metrics = async () => {
    const { body } = await askUnix<{ cpuCount: number; memTotal: number; diskTotal: number }>(toolboxSocket(runner.layout, id), 'GET', '/system/metrics');
    return [body.cpuCount, body.memTotal / GIB, body.diskTotal / GIB];
  };
  expect(await metrics()).toEqual([1, 1, 2]);
  expect((await runner.ask('PATCH', `/v1/sandboxes/${id}`, { cpu: 2, memoryGiB: 2, diskGiB: 3 })).status).toBe(200);
  expect(await metrics()).toEqual([2, 2, 3]);
  // The toolbox comes back with them after a crash.
  await runner.output(id, 'kill -9 $(pgrep -f toolbox | head -1); true').catch(() => undefined);
  await expect.poll(() => metrics().catch(() => null), { timeout: 10_000 }).toEqual([2, 2, 3]);
  expect(await runner.output(id, 'env | grep -c PADDOCK_; true')).toBe('0');
  await runner.remove(id);
});
