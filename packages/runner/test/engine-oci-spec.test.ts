import { describe, expect, it } from 'vitest';
import { MASKED_PATHS, ociSpec, type SpecInput } from '../src/engine/spec.ts';

const input: SpecInput = {
  id: '5f0c0f6e-0000-4000-8000-000000000001',
  rootfs: '/run/x/rootfs',
  userNsPath: '/run/x/user',
  netNsPath: '/run/x/net',
  idBase: 0x10000000,
  user: { name: 'daytona', uid: 1000, gid: 1000, home: '/home/daytona', groups: [1000, 27] },
  imageEnv: ['PATH=/opt/bin:/bin', 'NODE_OPTIONS=--require /evil.js', 'LD_PRELOAD=/evil.so', 'HOME=/elsewhere', 'GREETING=a=b'],
  workDir: null,
  limits: { cpu: 0.5, memoryBytes: 1024 ** 3 },
  diskBytes: 3 * 1024 ** 3,
  cgroups: {
    path: (id) => `/paddock-test/${id}`,
    limits: ({ memoryBytes }) => ({ cpu: { quota: 50_000, period: 100_000 }, memory: { limit: memoryBytes }, pids: { limit: 4096 } }),
    mountInside: true,
  },
  guestDir: '/var/lib/paddock/guest/1',
  guest: { tini: '/usr/lib/paddock/tini', busybox: '/usr/lib/paddock/busybox', toolbox: ['/usr/lib/paddock/node', "it's.cjs"], env: { MALLOC_ARENA_MAX: '1' } },
  ownFilesDir: '/run/x/own',
  views: [], devices: [{ file: 'fuse', path: '/dev/fuse', major: 10, minor: 229 }],
  maskedPaths: MASKED_PATHS,
  openFiles: 1_048_576,
};

interface Spec {
  hostname: string;
  process: { args: string[]; env: string[]; cwd: string; user: object; capabilities: Record<string, string[]>; rlimits: object[] };
  mounts: Array<{ destination: string; type: string; source: string; options: string[] }>;
  linux: { namespaces: Array<{ type: string; path?: string }>; uidMappings: object[]; resources: { devices: object[] }; seccomp: { defaultAction: string }; cgroupsPath: string };
}
const spec = ociSpec(input) as Spec;
const env = new Map(spec.process.env.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));

describe('the OCI spec of a sandbox', () => {
  it('has every namespace, two of them made before', () => {
    expect(spec.linux.namespaces.map(({ type }) => type).sort()).toEqual(['cgroup', 'ipc', 'mount', 'network', 'pid', 'user', 'uts']);
    expect(spec.linux.namespaces.filter(({ path }) => path !== undefined)).toEqual([
      { type: 'user', path: '/run/x/user' }, { type: 'network', path: '/run/x/net' },
    ]);
    expect(spec.linux.uidMappings).toEqual([{ containerID: 0, hostID: 0x10000000, size: 65536 }]);
  });

  it('runs the toolbox as the user, with no capability in effect', () => {
    expect(spec.process.user).toEqual({ uid: 1000, gid: 1000, additionalGids: [27] });
    expect(spec.process.capabilities['effective']).toEqual([]);
    expect(spec.process.capabilities['bounding']).toContain('CAP_SYS_ADMIN');
    expect(spec.process.rlimits).toContainEqual({ type: 'RLIMIT_CORE', soft: 0, hard: 0 });
  });

  it('keeps the image\'s variables from steering the toolbox and passes them on for the user', () => {
    expect(env.has('NODE_OPTIONS')).toBe(false);
    expect(env.has('LD_PRELOAD')).toBe(false);
    expect(env.get('PADDOCK_USER_NODE_OPTIONS')).toBe('--require /evil.js');
    expect(env.get('PATH')).toBe('/opt/bin:/bin');
    expect(env.get('GREETING')).toBe('a=b');
    expect(env.get('HOME')).toBe('/home/daytona');
  });

  it('takes nothing from the runner\'s own environment', () => {
    process.env['PADDOCK_LEAK_PROBE'] = 'secret';
    expect(JSON.stringify(ociSpec(input))).not.toContain('secret');
    delete process.env['PADDOCK_LEAK_PROBE'];
  });

  it('quotes the toolbox\'s words for the shell', () => {
    expect(spec.process.args.at(-1)).toContain(`'/usr/lib/paddock/node' 'it'\\''s.cjs' &`);
  });

  it('says when the image has no work dir', () => {
    expect(env.get('PADDOCK_HOME_AS_WORKDIR')).toBe('1');
    expect(spec.process.cwd).toBe('/home/daytona');
    const other = ociSpec({ ...input, workDir: '/app' }) as Spec;
    expect(other.process.cwd).toBe('/app');
    expect(other.process.env.some((entry) => entry.startsWith('PADDOCK_HOME_AS_WORKDIR'))).toBe(false);
  });

  it('binds only the sandbox\'s own files and the guest runtime', () => {
    const binds = spec.mounts.filter(({ type }) => type === 'bind');
    expect(binds.map(({ source }) => source).every((source) => source.startsWith('/run/x/own/') || source === input.guestDir)).toBe(true);
    expect(binds.find(({ source }) => source === input.guestDir)?.options).toContain('ro');
  });

  it('allows only the devices it brings', () => {
    expect(spec.linux.resources.devices[0]).toEqual({ allow: false, access: 'rwm' });
    expect(spec.linux.resources.devices).toHaveLength(2);
  });
});
