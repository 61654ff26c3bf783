/** Cgroup v2 alone: one directory a sandbox. */
import { existsSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { delegateGroup, flatKey, killUntilEmpty, pidsBelow, readControl, removeGroup, subgroups, within, writeControl } from './cgroup-files.ts';
import { CPU_PERIOD_US, cpuQuotaUs, FREEZE_PATIENCE_MS, PIDS_LIMIT, type Cgroups } from './cgroups.ts';

export function cgroupsV2(parent: string, root: string): Cgroups {
  const group = (id: string): string => join(root, parent, id);
  const pids = (id: string): number[] => pidsBelow(group(id));
  /** Swap of zero on top of the memory limit; the file is absent when the kernel has no swap accounting. */
  const withoutSwap = (id: string): void => {
    const file = join(group(id), 'memory.swap.max');
    if (existsSync(file)) writeFileSync(file, '0');
  };

  return {
    version: 'v2',
    mountInside: true,
    path: (id) => `/${parent}/${id}`,
    limits: ({ cpu, memoryBytes }) => ({
      cpu: { quota: cpuQuotaUs(cpu), period: CPU_PERIOD_US },
      // OCI counts memory+swap: equal to the limit means no swap.
      memory: { limit: memoryBytes, swap: memoryBytes },
      pids: { limit: PIDS_LIMIT },
    }),
    update: (id, { cpu, memoryBytes }) => {
      writeFileSync(join(group(id), 'cpu.max'), `${cpuQuotaUs(cpu)} ${CPU_PERIOD_US}`);
      writeFileSync(join(group(id), 'memory.max'), String(memoryBytes));
      withoutSwap(id);
    },
    delegate: (id, rootId) => delegateGroup(group(id), rootId),
    pids,
    doom: (id) => {
      writeControl(join(group(id), 'pids.max'), '0');
      writeControl(join(group(id), 'cpu.max'), 'max');
    },
    freeze: async (id) => {
      writeFileSync(join(group(id), 'cgroup.freeze'), '1');
      return within(FREEZE_PATIENCE_MS, () => flatKey(readControl(join(group(id), 'cgroup.events')), 'frozen') === 1);
    },
    thaw: (id) => writeControl(join(group(id), 'cgroup.freeze'), '0'),
    kill: async (id) => {
      // Absent in kernels before 5.14.
      writeControl(join(group(id), 'cgroup.kill'), '1');
      await killUntilEmpty(() => pids(id));
    },
    oomKills: (id) => flatKey(readControl(join(group(id), 'memory.events')), 'oom_kill'),
    remove: (id) => removeGroup(group(id)),
    list: () => subgroups(join(root, parent)),
    removeParent: () => {
      try {
        rmdirSync(join(root, parent));
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code !== 'ENOENT' && code !== 'EBUSY') throw error;
      }
    },
  };
}
