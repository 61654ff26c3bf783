import { expect, test } from 'vitest';
import * as sdk from '@daytona/sdk';
import { hostname } from 'node:os';
import { readFileSync } from 'node:fs';
import { type Sandbox, withSandbox } from '../sdk/support.ts';

async function inside(script: string): Promise<string> {
  return withSandbox(sdk, {}, async (sandbox) => (await sandbox.process.executeCommand(script)).result);
}

test('root inside is an unprivileged id outside and each sandbox has a range of its own', async () => {
  const map = async (sandbox: Sandbox): Promise<number[]> =>
    (await sandbox.process.executeCommand('cat /proc/self/uid_map')).result.trim().split(/\s+/).map(Number);
  await withSandbox(sdk, {}, async (one) => {
    await withSandbox(sdk, {}, async (two) => {
      const maps = [await map(one), await map(two)];
      for (const [first, host, count] of maps) {
        expect([first, count]).toEqual([0, 65_536]);
        expect(host).toBeGreaterThan(65_536);
      }
      expect(Math.abs(maps[0]![1]! - maps[1]![1]!)).toBeGreaterThanOrEqual(65_536);
    });
  });
});

test('no process of the host is visible', async () => {
  const list = await inside('ps -eo args');
  expect(list).not.toMatch(/postgres|runc|vitest|paddock up/);
  expect(list.trim().split('\n').length).toBeLessThan(20);
});

test('no file of the host is visible and its name and kernel identity are masked', async () => {
  const out = await inside(`sudo -n sh -c '
    cat /proc/1/root/etc/machine-id 2>/dev/null; hostname; cat /sys/class/dmi/id/* 2>/dev/null | head; cat /sys/firmware/* 2>&1 | head -1;
    head -c1 /proc/kcore 2>&1; cat /proc/keys 2>&1 | head -1; echo x > /proc/sysrq-trigger; ls /dev/mem /dev/sda /dev/vda /dev/loop0 2>&1'`);
  expect(out).not.toContain(hostname() === 'localhost' ? '\u0000' : `\n${hostname()}\n`);
  const machineId = (() => { try { return readFileSync('/etc/machine-id', 'utf8').trim(); } catch { return ''; } })();
  if (machineId !== '') expect(out).not.toContain(machineId);
  expect(out).toMatch(/ls: cannot access '\/dev\/mem'/);
});

test('kernel knobs, modules, the log and the clock are out of reach even for root inside', async () => {
  const out = await inside(`sudo -n bash -c '
    echo 1 > /proc/sys/kernel/panic && echo WROTE panic
    echo 1 > /proc/sys/vm/drop_caches && echo WROTE caches
    echo /tmp/x > /proc/sys/kernel/core_pattern && echo WROTE core_pattern
    dmesg > /dev/null 2>&1 && echo READ dmesg
    date -s @0 > /dev/null 2>&1 && echo SET clock
    mknod /tmp/disk b 254 0 2>/dev/null && head -c1 /tmp/disk >/dev/null 2>&1 && echo READ disk
    echo done'`);
  expect(out.trim().split('\n').at(-1)).toBe('done');
  expect(out).not.toMatch(/WROTE|READ|SET/);
});

test('user namespaces, mounts and tmpfs work inside for the root of the sandbox', async () => {
  const out = await inside(`sudo -n bash -c 'mkdir -p /mnt/t && mount -t tmpfs t /mnt/t && echo mounted; unshare -Ur id -u; unshare -m true && echo unshared'`);
  expect(out).toBe('mounted\n0\nunshared\n');
});

test('neither the token nor the env of a sandbox is in an argument list or in the environment of its first process', async () => {
  await withSandbox(sdk, { envVars: { SECRET: 'value-of-the-secret' } }, async (sandbox) => {
    const { token } = await sandbox.getPreviewLink(3000);
    const seen = (await sandbox.process.executeCommand(`sudo -n sh -c 'cat /proc/1/environ /proc/[0-9]*/cmdline' | tr '\\0' '\\n'`)).result;
    expect(seen).toContain('toolbox.cjs');
    expect(seen).not.toContain(token);
    expect(seen).not.toContain('value-of-the-secret');
  });
});
