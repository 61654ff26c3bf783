import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import type { SandboxSpec } from '@paddock/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootRunner, type TestRunner } from './support.ts';

let runner: TestRunner;
let spec: SandboxSpec;
beforeAll(async () => {
  runner = await bootRunner();
  spec = await runner.create();
});
afterAll(() => runner.destroy());

const inside = (command: string) => runner.output(spec.id, command);
const asRoot = (command: string) => inside(`sudo sh -c '${command}'`);

describe('root inside', () => {
  it('is nobody outside', async () => {
    const [, outside, size] = (await asRoot('cat /proc/self/uid_map')).split(/\s+/);
    expect(Number(outside)).toBeGreaterThan(65_536);
    expect(size).toBe('65536');
    const status = readFileSync(`/proc/${runner.initPid(spec.id)}/status`, 'utf8');
    expect(Number(/^Uid:\s+(\d+)/m.exec(status)?.[1])).toBe(Number(outside) + 1000);
  });

  it('has no namespace in common with the host', async () => {
    for (const kind of ['pid', 'net', 'mnt', 'ipc', 'uts', 'user', 'cgroup']) {
      expect(await inside(`readlink /proc/self/ns/${kind}`)).not.toBe(readlinkSync(`/proc/self/ns/${kind}`));
    }
  });

  it('sees no process of the host', async () => {
    const names = await asRoot('cat /proc/[0-9]*/comm');
    expect(names.split('\n').length).toBeLessThan(20);
    expect(await asRoot('cat /proc/1/comm')).toBe('tini');
  });

  it('sees no file, name or device of the host', async () => {
    expect(await asRoot(`ls ${runner.layout.dataDir} ${runner.layout.runDir} 2>&1`)).not.toContain('pool');
    expect(await inside('hostname')).toBe(spec.id);
    // A bind mount tells where its root lies in its file system: the guest runtime's is the only one from the host.
    const fromHost = (await asRoot('cat /proc/self/mountinfo')).split('\n').filter((line) => line.includes(runner.layout.dataDir) || line.includes(runner.layout.runDir));
    expect(fromHost.every((line) => line.includes(' /usr/lib/paddock ro,'))).toBe(true);
    expect(await inside('env; sudo cat /proc/1/environ')).not.toContain(hostname() === '' ? '\n' : `HOSTNAME=${hostname()}`);
    expect(await asRoot('mknod /tmp/disk b 8 0 2>&1; head -c1 /tmp/disk 2>&1')).toMatch(/not permitted|No such/);
    expect((await asRoot('ls /dev')).split('\n').sort()).toEqual(expect.not.arrayContaining(['sda', 'vda', 'kvm', 'mem', 'kmsg']));
  });

  it('cannot write the kernel\'s settings', async () => {
    const written = await asRoot(
      'for f in $(find /proc/sys -type f 2>/dev/null); do v=$(cat $f 2>/dev/null) && (echo "$v" > $f) 2>/dev/null && echo $f; done',
    );
    // What remains belongs to namespaces of the sandbox's own: its network, IPC objects, pids, user namespaces.
    const foreign = written.split('\n').filter((path) => !/^\/proc\/sys\/(net|user|fs\/mqueue)\//.test(path) && !OWN_SETTINGS.has(path.replace('/proc/sys/kernel/', '')));
    expect(foreign.filter(Boolean)).toEqual([]);
    expect(await asRoot('echo b > /proc/sysrq-trigger; echo c; mount -o remount,rw /sys; echo 1 > /sys/kernel/mm/ksm/run; cat /sys/kernel/mm/ksm/run')).toMatch(/^c$[^]*permission denied[^]*Read-only file system\n0$/m);
  });

  it('reads no kernel log, no memory, no keys and no identity of the machine', async () => {
    expect(await asRoot('dmesg 2>&1')).toContain('not permitted');
    expect(await asRoot('cat /proc/kmsg /proc/kcore /dev/kmsg /dev/mem 2>/dev/null | head -c 1')).toBe('');
    expect(await asRoot('cat /proc/keys /proc/timer_list 2>/dev/null')).toBe('');
    expect(await asRoot('cat /sys/class/dmi/id/* /sys/devices/virtual/dmi/id/* 2>/dev/null; ls /sys/firmware')).toBe('');
  });

  it.each([
    ['kexec_load', 246, 'not permitted'], ['init_module', 175, 'not permitted'], ['bpf', 321, 'not permitted'], ['perf_event_open', 298, 'not permitted'],
    ['userfaultfd', 323, 'not permitted'], ['open_by_handle_at', 304, 'not permitted'], ['swapon', 167, 'not permitted'], ['syslog', 103, 'not permitted'],
    ['settimeofday', 164, 'not permitted'], ['add_key', 248, 'not implemented'], ['keyctl', 250, 'not implemented'], ['io_uring_setup', 425, 'not implemented'],
  ])('is refused %s', async (_, number, words) => {
    expect(await asRoot(`python3 -c "import ctypes,os; c=ctypes.CDLL(None,use_errno=True); c.syscall(${number},0,0,0,0,0); print(os.strerror(ctypes.get_errno()))"`)).toContain(words);
  });

  it('reaches no hypervisor and no kernel crypto through sockets', async () => {
    for (const family of [38, 40]) {
      expect(await asRoot(`python3 -c "import socket; socket.socket(${family}, socket.SOCK_STREAM)" 2>&1 | tail -1`)).toContain('not supported');
    }
  });

  it('has limits on files and leaves no core dumps', async () => {
    expect(await inside('ulimit -c')).toBe('0');
    expect(Number(await inside('ulimit -n'))).toBeGreaterThanOrEqual(1024);
    expect(await inside('cat /proc/self/oom_score_adj')).toBe('500');
    expect(await asRoot('echo -1000 2>/dev/null > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj')).toMatch(/500$/);
  });
});

/** Per IPC or pid namespace, although they stand beside the kernel's own. */
const OWN_SETTINGS = new Set([
  'auto_msgmni', 'msgmax', 'msgmnb', 'msgmni', 'sem', 'shm_rmid_forced', 'shmall', 'shmmax', 'shmmni', 'ns_last_pid', 'pid_max', 'cad_pid', 'hostname', 'domainname',
  'msg_next_id', 'sem_next_id', 'shm_next_id',
]);

describe('what must still work inside', () => {
  it.each([
    ['tmpfs', 'mount -t tmpfs x /mnt && echo works'],
    ['overlay on a tmpfs', 'mkdir -p /mnt/o && mount -t tmpfs x /mnt/o && cd /mnt/o && mkdir l u w m && mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m && touch m/f && echo works'],
    ['a tun device', 'python3 -c "import fcntl,struct; f=open(\\"/dev/net/tun\\",\\"r+b\\",buffering=0); fcntl.ioctl(f,0x400454ca,struct.pack(\\"16sH\\",b\\"t0\\",1)); print(\\"works\\")"'],
    ['FUSE\'s device', 'exec 3<>/dev/fuse && echo works'],
    ['user namespaces of its own', 'unshare -Urpf --mount-proc echo works'],
    ['network namespaces of its own', 'unshare -n echo works'],
    ['changing owners', 'touch /tmp/f && chown 33:65534 /tmp/f && stat -c works /tmp/f'],
    ['set-uid programs', 'stat -c %a /usr/bin/sudo | grep -q ^4 && echo works'],
    ['its own resolver file', 'echo "# note" >> /etc/hosts && tail -1 /etc/hosts | grep -q note && echo works'],
  ])('%s', async (_, command) => {
    expect(await asRoot(command)).toBe('works');
  });

  it('user namespaces of an ordinary user', async () => {
    expect(await inside('unshare -Urpf --mount-proc echo works')).toBe('works');
  });
});
