/** Cgroup v1, alone or beside a v2 hierarchy that has no controllers (hybrid). One directory per hierarchy. */
import { existsSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { delegateGroup, flatKey, killUntilEmpty, pidsBelow, readControl, removeGroup, subgroups, within, writeControl } from './cgroup-files.ts';
import { CPU_PERIOD_US, cpuQuotaUs, FREEZE_PATIENCE_MS, PIDS_LIMIT, type CgroupMount, type Cgroups, type Limits } from './cgroups.ts';

export function cgroupsV1(parent: string, mounts: readonly CgroupMount[], unified: string | null): Cgroups {
  const hierarchies = [...mounts.map((mount) => mount.path), ...(unified === null ? [] : [unified])];
  const of = (controller: string): string => {
    const mount = mounts.find((candidate) => candidate.controllers.includes(controller));
    if (mount === undefined) throw new Error(`The cgroup controller "${controller}" is not mounted.`);
    return mount.path;
  };
  const memory = of('memory');
  const cpu = of('cpu');
  const tasks = of('pids');
  const freezer = mounts.find((mount) => mount.controllers.includes('freezer'))?.path ?? null;
  /** Present only when the kernel accounts swap. */
  const swapAccounting = existsSync(join(memory, 'memory.memsw.limit_in_bytes'));
  const group = (hierarchy: string, id: string): string => join(hierarchy, parent, id);
  const pids = (id: string): number[] => pidsBelow(group(tasks, id));
  const thaw = (id: string): void => {
    if (freezer !== null) writeControl(join(group(freezer, id), 'freezer.state'), 'THAWED');
  };

  return {
    version: unified === null ? 'v1' : 'hybrid',
    mountInside: true,
    path: (id) => `/${parent}/${id}`,
    limits: ({ cpu: cores, memoryBytes }) => ({
      cpu: { quota: cpuQuotaUs(cores), period: CPU_PERIOD_US },
      memory: { limit: memoryBytes, ...(swapAccounting ? { swap: memoryBytes } : {}) },
      pids: { limit: PIDS_LIMIT },
    }),
    update: (id, limits) => {
      writeFileSync(join(group(cpu, id), 'cpu.cfs_quota_us'), String(cpuQuotaUs(limits.cpu)));
      writeMemory(group(memory, id), limits, swapAccounting);
    },
    delegate: (id, rootId) => {
      if (unified !== null) delegateGroup(group(unified, id), rootId);
    },
    pids,
    doom: (id) => {
      thaw(id);
      writeControl(join(group(tasks, id), 'pids.max'), '0');
      writeControl(join(group(cpu, id), 'cpu.cfs_quota_us'), '-1');
    },
    freeze: async (id) => {
      if (freezer === null) return false;
      const file = join(group(freezer, id), 'freezer.state');
      writeFileSync(file, 'FROZEN');
      return within(FREEZE_PATIENCE_MS, () => readControl(file).trim() === 'FROZEN');
    },
    thaw,
    // A frozen process of this version does not die of SIGKILL.
    kill: (id) => {
      thaw(id);
      return killUntilEmpty(() => pids(id));
    },
    oomKills: (id) => flatKey(readControl(join(group(memory, id), 'memory.oom_control')), 'oom_kill'),
    remove: (id) => hierarchies.map((hierarchy) => removeGroup(group(hierarchy, id))).every(Boolean),
    list: () => [...new Set(hierarchies.flatMap((hierarchy) => subgroups(join(hierarchy, parent))))],
    removeParent: () => {
      for (const hierarchy of hierarchies) removeIfEmpty(join(hierarchy, parent));
    },
  };
}

/** memory+swap may never be under memory, so the order of the two writes depends on the direction. */
function writeMemory(group: string, limits: Limits, swapAccounting: boolean): void {
  const memoryFile = join(group, 'memory.limit_in_bytes');
  const swapFile = join(group, 'memory.memsw.limit_in_bytes');
  const files = !swapAccounting ? [memoryFile]
    : limits.memoryBytes > Number(readControl(memoryFile)) ? [swapFile, memoryFile] : [memoryFile, swapFile];
  for (const file of files) writeFileSync(file, String(limits.memoryBytes));
}

function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOENT' && code !== 'EBUSY') throw error;
  }
}
