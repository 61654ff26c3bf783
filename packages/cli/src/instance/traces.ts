import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout } from '@paddock/contract';
import { isAlive } from '../host/process-identity.ts';
import { findTool } from '../host/tools.ts';
import { readState } from '../supervisor/state-file.ts';

/** What an instance has on the host outside its data directory. Everything carries the instance's id, so it can be found without asking it. */
export type Trace =
  | { readonly kind: 'process'; readonly pid: number; readonly what: string }
  | { readonly kind: 'cgroup'; readonly path: string }
  | { readonly kind: 'mount'; readonly path: string }
  | { readonly kind: 'netns'; readonly name: string }
  | { readonly kind: 'link'; readonly name: string }
  | { readonly kind: 'nft table'; readonly family: string; readonly name: string }
  | { readonly kind: 'loop device'; readonly device: string };

export function describeTrace(trace: Trace): string {
  switch (trace.kind) {
    case 'process':
      return `process ${trace.pid} (${trace.what})`;
    case 'nft table':
      return `nft table ${trace.family} ${trace.name}`;
    case 'cgroup':
    case 'mount':
      return `${trace.kind} ${trace.path}`;
    case 'loop device':
      return `loop device ${trace.device}`;
    default:
      return `${trace.kind} ${trace.name}`;
  }
}

/** In the order in which they can be removed. */
export function findTraces(layout: Layout): Trace[] {
  const cgroups = findCgroups(layout);
  return [...partProcesses(layout), ...volumeDaemons(layout), ...cgroups.flatMap(processesIn), ...cgroups.map((path) => ({ kind: 'cgroup' as const, path })), ...mounts(layout), ...network(layout), ...loopDevices(layout)];
}

function partProcesses(layout: Layout): Trace[] {
  const state = readState(layout);
  if (!state) return [];
  return Object.entries({ supervisor: state.supervisor, ...state.parts })
    .filter(([, identity]) => isAlive(identity))
    .map(([what, { pid }]) => ({ kind: 'process', pid, what }));
}

/** They show volumes of the object store to sandboxes, and outlive the runner with them. */
function volumeDaemons(layout: Layout): Trace[] {
  const mounts = join(layout.runDir, 'volumes/');
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name): Trace[] => {
    try {
      const [program = '', command = '', , mountPoint = ''] = readFileSync(join('/proc', name, 'cmdline'), 'utf8').split('\0');
      return program.endsWith('rclone') && command === 'mount' && mountPoint.startsWith(mounts) ? [{ kind: 'process', pid: Number(name), what: `rclone at ${mountPoint}` }] : [];
    } catch {
      return []; // ended while we looked
    }
  });
}

/** Deepest first, in every hierarchy: below /sys/fs/cgroup itself (v2) and below each mounted controller (v1, hybrid). */
export function findCgroups(layout: Pick<Layout, 'cgroup'>): string[] {
  const root = '/sys/fs/cgroup';
  const hierarchies = [root, ...readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => join(root, entry.name))];
  return hierarchies.map((hierarchy) => join(hierarchy, layout.cgroup)).filter((path) => existsSync(path)).flatMap(descend);
}

function descend(path: string): string[] {
  try {
    const below = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [...below.flatMap((entry) => descend(join(path, entry.name))), path];
  } catch {
    return []; // removed while we looked
  }
}

function processesIn(cgroup: string): Trace[] {
  try {
    return readFileSync(join(cgroup, 'cgroup.procs'), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((pid) => ({ kind: 'process', pid: Number(pid), what: `in ${cgroup}` }));
  } catch {
    return [];
  }
}

/** Mounts seen from the host; those in the runner's namespace end with it. Innermost first. */
function mounts(layout: Layout): Trace[] {
  const within = [`${layout.runDir}/`, `${layout.dataDir}/`, `/run/netns/${layout.routerNetns}`, `/var/run/netns/${layout.routerNetns}`];
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[1] ?? '').replaceAll('\\040', ' '))
    .filter((path) => within.some((prefix) => path.startsWith(prefix)) && !/\/run\/netns\//.test(path))
    .reverse()
    .map((path) => ({ kind: 'mount', path }));
}

function network(layout: Layout): Trace[] {
  const found: Trace[] = [];
  if (existsSync(`/run/netns/${layout.routerNetns}`)) found.push({ kind: 'netns', name: layout.routerNetns });
  for (const name of readdirSync('/sys/class/net')) if (name.startsWith(layout.uplink)) found.push({ kind: 'link', name });
  const nft = findTool('nft');
  const tables = nft ? spawnSync(nft, ['list', 'tables'], { encoding: 'utf8' }).stdout : '';
  for (const [, family = '', name = ''] of tables.matchAll(/^table (\S+) (\S+)$/gm)) {
    if (name.startsWith(layout.nftTable)) found.push({ kind: 'nft table', family, name });
  }
  return found;
}

function loopDevices(layout: Layout): Trace[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .filter((name) => {
      try {
        return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').startsWith(`${layout.dataDir}/`);
      } catch {
        return false; // not in use
      }
    })
    .map((name) => ({ kind: 'loop device', device: `/dev/${name}` }));
}
