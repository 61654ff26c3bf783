import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openCgroups, parseCgroupMounts } from '../src/engine/cgroups.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'paddock-cgroups-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const line = (path: string, type: string, options: string) => `30 20 0:26 / ${path} rw,relatime shared:9 - ${type} ${type} ${options}`;

/** Control files as the kernel would offer them. */
function group(path: string, files: Record<string, string>): string {
  mkdirSync(path, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

describe('cgroup hierarchies', () => {
  it('are read from mountinfo', () => {
    const mounts = parseCgroupMounts([
      line('/sys/fs/cgroup/memory', 'cgroup', 'rw,memory'),
      line('/sys/fs/cgroup/cpu,cpuacct', 'cgroup', 'rw,cpu,cpuacct'),
      line('/sys/fs/cgroup/systemd', 'cgroup', 'rw,xattr,name=systemd'),
      line('/sys/fs/cgroup/unified', 'cgroup2', 'rw,nsdelegate'),
      '40 20 0:30 / /proc rw - proc proc rw',
    ].join('\n'));
    expect(mounts.map(({ type }) => type)).toEqual(['cgroup', 'cgroup', 'cgroup', 'cgroup2']);
    expect(mounts[1]?.controllers).toEqual(['cpu', 'cpuacct']);
  });

  it('without any are refused', () => {
    expect(() => openCgroups('paddock-x', '40 20 0:30 / /proc rw - proc proc rw')).toThrow('No cgroup hierarchy');
  });
});

describe('cgroup v2', () => {
  it('resizes, counts and lists by plain files', () => {
    const cgroups = openCgroups('paddock-x', line(root, 'cgroup2', 'rw'));
    const dir = group(join(root, 'paddock-x', 'a'), {
      'cpu.max': '', 'memory.max': '', 'memory.swap.max': '', 'memory.events': 'low 0\noom 2\noom_kill 3\n', 'cgroup.procs': '12\n13\n',
    });
    group(join(dir, 'nested'), { 'cgroup.procs': '14\n' });
    cgroups.update('a', { cpu: 1.5, memoryBytes: 1 << 30 });
    expect(readFileSync(join(dir, 'cpu.max'), 'utf8')).toBe('150000 100000');
    expect(readFileSync(join(dir, 'memory.max'), 'utf8')).toBe(String(1 << 30));
    expect(readFileSync(join(dir, 'memory.swap.max'), 'utf8')).toBe('0');
    expect(cgroups.oomKills('a')).toBe(3);
    expect(cgroups.pids('a')).toEqual([12, 13, 14]);
    expect(cgroups.list()).toEqual(['a']);
    expect(cgroups.version).toBe('v2');
  });

  it('lets root inside make groups, few and not deep, and leaves the limits to the host', () => {
    const cgroups = openCgroups('paddock-x', line(root, 'cgroup2', 'rw'));
    const files = ['cgroup.max.descendants', 'cgroup.max.depth', 'cgroup.procs', 'cgroup.threads', 'cgroup.subtree_control', 'memory.max', 'pids.max', 'cgroup.freeze'];
    const dir = group(join(root, 'paddock-x', 'a'), Object.fromEntries(files.map((name) => [name, ''])));
    cgroups.delegate('a', 70_000);
    const owned = ['.', ...files].filter((name) => statSync(join(dir, name)).uid === 70_000);
    expect(owned).toEqual(['.', 'cgroup.procs', 'cgroup.threads', 'cgroup.subtree_control']);
    expect(['cgroup.max.descendants', 'cgroup.max.depth'].map((name) => readFileSync(join(dir, name), 'utf8'))).toEqual(['1000', '10']);
    cgroups.delegate('gone', 70_000);
  });

  it('removes groups whose names are no text', () => {
    const cgroups = openCgroups('paddock-x', line(root, 'cgroup2', 'rw'));
    mkdirSync(join(root, 'paddock-x', 'a'), { recursive: true });
    mkdirSync(Buffer.concat([Buffer.from(join(root, 'paddock-x', 'a/')), Buffer.from([0xff, 0xfe])]));
    expect(cgroups.remove('a')).toBe(true);
    expect(existsSync(join(root, 'paddock-x', 'a'))).toBe(false);
  });

  it('removes a group and those inside it', () => {
    const cgroups = openCgroups('paddock-x', line(root, 'cgroup2', 'rw'));
    mkdirSync(join(root, 'paddock-x', 'a', 'b', 'c'), { recursive: true });
    expect(cgroups.remove('a')).toBe(true);
    expect(cgroups.remove('a')).toBe(true);
    expect(existsSync(join(root, 'paddock-x', 'a'))).toBe(false);
  });
});

describe('cgroup v1', () => {
  const mounts = (): string => ['memory', 'cpu', 'pids'].map((name) => line(join(root, name), 'cgroup', `rw,${name}`)).join('\n');

  it('raises memory+swap before memory, and lowers it after', () => {
    const dir = group(join(root, 'memory', 'paddock-x', 'a'), { 'memory.limit_in_bytes': '100', 'memory.memsw.limit_in_bytes': '100', 'memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 1\n' });
    group(join(root, 'cpu', 'paddock-x', 'a'), { 'cpu.cfs_quota_us': '' });
    writeFileSync(join(root, 'memory', 'memory.memsw.limit_in_bytes'), '');
    const cgroups = openCgroups('paddock-x', mounts());
    cgroups.update('a', { cpu: 2, memoryBytes: 200 });
    expect(readFileSync(join(dir, 'memory.memsw.limit_in_bytes'), 'utf8')).toBe('200');
    expect(readFileSync(join(root, 'cpu', 'paddock-x', 'a', 'cpu.cfs_quota_us'), 'utf8')).toBe('200000');
    expect(cgroups.oomKills('a')).toBe(1);
    expect(cgroups.version).toBe('v1');
  });

  it('lists and removes over all hierarchies', () => {
    mkdirSync(join(root, 'memory', 'paddock-x', 'a'), { recursive: true });
    mkdirSync(join(root, 'pids', 'paddock-x', 'b'), { recursive: true });
    const cgroups = openCgroups('paddock-x', mounts());
    expect(cgroups.list().sort()).toEqual(['a', 'b']);
    expect(cgroups.remove('a')).toBe(true);
    expect(cgroups.list()).toEqual(['b']);
  });

  it('beside v2 is hybrid', () => {
    expect(openCgroups('paddock-x', `${mounts()}\n${line(join(root, 'unified'), 'cgroup2', 'rw')}`).version).toBe('hybrid');
  });
});
