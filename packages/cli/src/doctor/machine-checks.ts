import { spawnSync } from 'node:child_process';
import { existsSync, statfsSync } from 'node:fs';
import { createServer } from 'node:net';
import { totalmem } from 'node:os';
import { dirname } from 'node:path';
import { layoutOf } from '@paddock/contract';
import { findServiceUser } from '../host/service-user.ts';
import { findTool, missingPackages } from '../host/tools.ts';
import { runningInstance } from '../supervisor/state-file.ts';
import { type Check, fail, type Finding, ok, warn } from './check.ts';

const GIB = 1 << 30;

/** Below the first the image cannot be made, below the second a few full sandboxes fill the machine. */
const DISK_GIB = { fail: 3, warn: 20 } as const;

const version = (tool: string, pattern: RegExp): string | null => {
  const path = findTool(tool);
  if (path === null) return null;
  const done = spawnSync(path, ['--version'], { encoding: 'utf8' });
  return pattern.exec(`${done.stdout}${done.stderr}`)?.[1] ?? 'unknown version';
};

export const MACHINE_CHECKS: readonly Check[] = [
  {
    name: 'system packages',
    atStart: true,
    run() {
      const missing = missingPackages();
      if (missing.length === 0) return ok('all there');
      const costs = [...new Set(missing.map((one) => one.costs))].join('; ');
      const names = missing.map((one) => one.package).join(' ');
      const missed = missing.every((one) => one.optional) ? warn : fail;
      return missed(`missing: ${names}`, costs, findTool('apt-get') ? `apt-get install -y ${names}` : `Install what your distribution calls: ${names}`);
    },
  },
  {
    name: 'runc',
    atStart: false,
    run() {
      const found = version('runc', /runc version (\S+)/);
      return found === null ? fail('missing', 'no sandbox starts', 'apt-get install -y runc') : ok(found);
    },
  },
  optionalRuntime('crun', /crun version (\S+)/, 'starts sandboxes about 10 ms faster where the host has cgroup v2'),
  optionalRuntime('runsc', /release-?\S* ?version (\S+)|version (\S+)/, 'sandboxes with a kernel of their own'),
  {
    name: 'nftables',
    atStart: false,
    run() {
      const nft = findTool('nft');
      if (nft === null) return fail('missing', 'sandboxes have no network', 'apt-get install -y nftables');
      const done = spawnSync(nft, ['list', 'tables'], { encoding: 'utf8' });
      return done.status === 0
        ? ok('the kernel answers')
        : fail(done.stderr.trim().split('\n')[0] ?? 'fails', 'sandboxes have no network', 'Run as root, on a kernel with nf_tables (modprobe nf_tables).');
    },
  },
  {
    name: 'volumes',
    atStart: true,
    run({ volumes }) {
      if (volumes.driver === 'local') return ok('on the pool of this machine');
      const missing = [['rclone', 'rclone'], ['fusermount3', 'fuse3']].filter(([tool]) => findTool(tool!) === null).map(([, name]) => name);
      if (missing.length === 0) return ok('in the object store');
      return fail(`missing: ${missing.join(' ')}`, 'no volume can be made', `apt-get install -y ${missing.join(' ')}, or set PADDOCK_VOLUMES_DRIVER=local`);
    },
  },
  { name: 'port', atStart: true, run: (config) => portFinding(config) },
  { name: 'SSH port', atStart: true, run: (config) => sshPortFinding(config) },
  {
    name: 'free disk',
    atStart: true,
    run({ dataDir }) {
      let place = dataDir;
      while (!existsSync(place)) place = dirname(place);
      const { bavail, bsize } = statfsSync(place);
      const gib = (bavail * bsize) / GIB;
      const detail = `${gib.toFixed(1)} GiB at ${place}`;
      const fix = 'Free some, or set PADDOCK_DATA_DIR to a larger file system.';
      if (gib < DISK_GIB.fail) return fail(detail, 'the default image does not fit', fix);
      return gib < DISK_GIB.warn ? warn(detail, 'a few full sandboxes fill the disk', fix) : ok(detail);
    },
  },
  {
    name: 'memory',
    atStart: false,
    run() {
      const gib = totalmem() / GIB;
      return gib < 2 ? warn(`${gib.toFixed(1)} GiB`, 'room for one or two sandboxes', 'Use a larger machine.') : ok(`${gib.toFixed(1)} GiB`);
    },
  },
  {
    name: 'service user',
    atStart: false,
    run({ serviceUser }) {
      const user = findServiceUser(serviceUser);
      return ok(user ? `${serviceUser} (${user.uid})` : `${serviceUser}, made at first start`);
    },
  },
];

function optionalRuntime(name: string, pattern: RegExp, gain: string): Check {
  return { name, atStart: false, run: () => ok(version(name, pattern) ?? `not installed (not needed; ${gain})`) };
}

/** Taken by this very instance is fine. */
function portFinding(config: Parameters<Check['run']>[0]): Promise<Finding> {
  if (runningInstance(layoutOf(config.dataDir, config.runRoot))?.port === config.port) return Promise.resolve(ok(`${config.port}, in use by this instance`));
  return freeFinding(config.host, config.port, 'the API cannot be served', 'PADDOCK_PORT');
}

function sshPortFinding(config: Parameters<Check['run']>[0]): Promise<Finding> {
  if (config.sshPort === 0) return Promise.resolve(ok('SSH is switched off'));
  if (runningInstance(layoutOf(config.dataDir, config.runRoot))) return Promise.resolve(ok(`${config.sshPort}, this instance runs`));
  return freeFinding(config.host, config.sshPort, 'the SSH gateway cannot be served', 'PADDOCK_SSH_PORT');
}

function freeFinding(host: string, port: number, cost: string, setting: string): Promise<Finding> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(fail(`${host}:${port} cannot be used (${error.code})`, cost, error.code === 'EADDRINUSE' ? `Stop what listens there (ss -ltnp 'sport = :${port}'), or set ${setting}.` : 'Set PADDOCK_HOST to an address of this machine.')),
    );
    server.listen(port, host, () => server.close(() => resolve(ok(`${host}:${port} is free`))));
  });
}
