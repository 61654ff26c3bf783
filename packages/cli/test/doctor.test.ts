import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { resolveConfig } from '../src/config/index.ts';
import { type Check, describeReport, examine } from '../src/doctor/index.ts';
import { isKernelNewEnough } from '../src/doctor/kernel-checks.ts';
import { SYSTEM_PACKAGES } from '../src/host/tools.ts';

function config(env: Record<string, string> = {}) {
  const resolved = resolveConfig({ flags: {}, env: { PADDOCK_DATA_DIR: '/tmp/paddock-doctor', PADDOCK_PORT: '39417', PADDOCK_SSH_PORT: '39418', ...env }, configFile: '/dev/null' });
  if (!resolved.ok) throw new Error(resolved.problems.join('\n'));
  return resolved.config;
}

describe('paddock doctor', () => {
  test('covers kernel, cgroups, storage, network, runtimes, ports and disk, and finds this machine fit', async () => {
    const report = await examine(config());
    const names = report.findings.map((finding) => finding.name);
    for (const name of ['root', 'kernel', 'cgroups', 'user namespaces', 'btrfs', 'overlayfs', 'nftables', 'runc', 'crun', 'runsc', 'system packages', 'port', 'free disk', 'service user']) {
      expect(names).toContain(name);
    }
    expect(report.findings.filter((finding) => finding.status === 'fail')).toEqual([]);
    expect(report.works).toBe(true);
  });

  test('a port that another program holds is named with the command that shows it', async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)));
    try {
      const report = await examine(config({ PADDOCK_PORT: String(port) }), 'start');
      expect(report.works).toBe(false);
      expect(report.findings.find((finding) => finding.name === 'port')).toMatchObject({ status: 'fail', detail: `127.0.0.1:${port} cannot be used (EADDRINUSE)`, fix: expect.stringContaining(`sport = :${port}`) });
    } finally {
      server.close();
    }
  });

  test('what is missing is told with its cost and its fix', async () => {
    const checks: Check[] = [
      { name: 'one', atStart: true, run: () => ({ status: 'ok', detail: 'there' }) },
      { name: 'two', atStart: true, run: () => ({ status: 'warn', detail: 'small', costs: 'few sandboxes', fix: 'make it larger' }) },
      { name: 'three', atStart: false, run: () => ({ status: 'fail', detail: 'absent', costs: 'no sandboxes', fix: 'install it' }) },
    ];
    const report = await examine(config(), 'all', checks);
    expect(report.works).toBe(false);
    const text = describeReport(report).replace(/\x1b\[\d+m/g, '');
    expect(text).toBe('ok    one    there\nwarn  two    small\n      costs: few sandboxes\n      fix:   make it larger\nFAIL  three  absent\n      costs: no sandboxes\n      fix:   install it');
    expect((await examine(config(), 'start', checks)).works).toBe(true);
  });

  test('kernels from 5.19 on will do', () => {
    expect(['5.18.0', '4.19.0', '5.4.0-generic'].map(isKernelNewEnough)).toEqual([false, false, false]);
    expect(['5.19.0', '6.1.0-18-amd64', '7.0.0'].map(isKernelNewEnough)).toEqual([true, true, true]);
  });

  test('every system package says what its absence costs', () => {
    for (const one of SYSTEM_PACKAGES) expect(one.costs, one.package).not.toBe('');
  });
});
