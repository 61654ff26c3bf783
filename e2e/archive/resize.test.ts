import { describe, expect, inject, test } from 'vitest';
import { api, SDKS, withSandbox, type Sandbox } from '../sdk/support.ts';

const LIMITS = 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max';
const GIB = 1024 ** 3;

async function refusal(sandbox: Sandbox, body: object): Promise<[number, string]> {
  const reply = await api(`/sandbox/${sandbox.id}/resize`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return [reply.status, String((await reply.json() as { message: string }).message).split('\n')[0]!];
}

describe.each(SDKS)('resizing with %s', (_name, sdk) => {
  test('a started sandbox grows in processors and memory without a restart', async () => {
    await withSandbox(sdk, {}, async (sandbox) => {
      await sandbox.process.executeCommand('nohup sleep 1000 >/dev/null 2>&1 & disown');
      await sandbox.resize({ cpu: 2, memory: 2 });
      expect([sandbox.state, sandbox.cpu, sandbox.memory, sandbox.disk]).toEqual(['started', 2, 2, 3]);
      expect((await sandbox.process.executeCommand(LIMITS)).result).toMatch(/^2147483648\n200000/);
      expect((await sandbox.process.executeCommand('pgrep -c sleep')).result).toBe('1\n');
      const metrics = await (await fetch(`${sandbox.toolboxProxyUrl}/${sandbox.id}/system/metrics`, { headers: { Authorization: `Bearer ${inject('apiKey')}` } })).json() as Record<string, number>;
      expect([metrics['cpuCount'], metrics['memTotal'], metrics['diskTotal']]).toEqual([2, 2 * GIB, 3 * GIB]);
    });
  });

  test('a stopped sandbox takes any processors and memory and a larger disk, and has them when it starts', async () => {
    await withSandbox(sdk, { snapshot: 'daytona-medium' }, async (sandbox) => {
      await sandbox.process.executeCommand('echo kept > kept');
      await sandbox.stop();
      await sandbox.resize({ cpu: 1, memory: 1, disk: 9 });
      expect([sandbox.state, sandbox.cpu, sandbox.memory, sandbox.disk]).toEqual(['stopped', 1, 1, 9]);
      await sandbox.start();
      expect((await sandbox.process.executeCommand(`${LIMITS}; cat kept`)).result).toMatch(/^1073741824\n100000[^]*kept\n$/);
      expect((await sandbox.process.executeCommand('fallocate -l 8200M big && echo fits', undefined, undefined, 60)).result).toContain('fits');
    });
  });
});

test('what cannot be is refused in words, and leaves the sandbox as it was', async () => {
  const [[, sdk]] = SDKS as [(typeof SDKS)[number]];
  await withSandbox(sdk, { snapshot: 'daytona-medium' }, async (sandbox) => {
    expect(await refusal(sandbox, { cpu: 1 })).toEqual([400, expect.stringContaining('stopped state to decrease')]);
    expect(await refusal(sandbox, { memory: 1 })).toEqual([400, expect.stringContaining('stopped state to decrease')]);
    expect(await refusal(sandbox, { disk: 9 })).toEqual([400, expect.stringContaining('stopped sandbox')]);
    expect(await refusal(sandbox, { disk: 7 })).toEqual([400, 'Sandbox disk size cannot be decreased']);
    expect(await refusal(sandbox, {})).toEqual([400, expect.stringContaining('no change')]);
    expect(await refusal(sandbox, { cpu: 2, memory: 4, disk: 8 })).toEqual([400, expect.stringContaining('no change')]);
    expect(await refusal(sandbox, { cpu: 0 })).toEqual([400, expect.stringContaining('cpu')]);
    expect(await refusal(sandbox, { cpu: 2.5 })).toEqual([400, expect.stringContaining('cpu')]);
    expect(await refusal(sandbox, { cpu: 999 })).toEqual([400, expect.stringMatching(/^CPU request 999 exceeds maximum allowed per sandbox/)]);
    await sandbox.stop();
    expect(await refusal(sandbox, { disk: 100_000 })).toEqual([400, expect.stringMatching(/^Disk request 100000GB exceeds maximum allowed per sandbox/)]);
    expect(await refusal(sandbox, { disk: 7 })).toEqual([400, 'Sandbox disk size cannot be decreased']);
    await sandbox.refreshData();
    expect([sandbox.state, sandbox.cpu, sandbox.memory, sandbox.disk]).toEqual(['stopped', 2, 4, 8]);
  });
});
