import { readdir, readFile } from 'node:fs/promises';
import os from 'node:os';
import { TOOLBOX_ENV } from '@paddock/contract';
import { readCgroup } from './cgroup.ts';

/** Bytes. `used` is without the cache, which the kernel gives back when it is needed. */
export interface Memory {
  readonly total: number;
  readonly used: number;
  readonly cache: number;
}

export async function memory(): Promise<Memory> {
  const total = await limit();
  const current = await readCgroup('memory.current', 'memory', 'memory.usage_in_bytes');
  if (current === null) return { total, used: await processBytes(), cache: 0 };
  const stat = (await readCgroup('memory.stat', 'memory', 'memory.stat')) ?? '';
  // v2 calls it `file`; v1 `total_cache`, descendants included.
  const cache = Number((/^file (\d+)/m.exec(stat) ?? /^total_cache (\d+)/m.exec(stat))?.[1] ?? 0);
  return { total, used: Math.max(0, Number(current) - cache), cache };
}

/** "max" and v1's huge number both mean no limit: then the machine's memory is. */
async function limit(): Promise<number> {
  const given = Number(process.env[TOOLBOX_ENV.memoryBytes] ?? 0);
  const own = given > 0 ? given : Number(await readCgroup('memory.max', 'memory', 'memory.limit_in_bytes'));
  return own > 0 && own < os.totalmem() ? own : os.totalmem();
}

/** Page size of the architectures Node is built for here. */
const PAGE_BYTES = 4096;

/** What the visible processes hold for themselves: resident pages that are not shared with a file. */
async function processBytes(): Promise<number> {
  let pages = 0;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const [, resident, shared] = (await readFile(`/proc/${pid}/statm`, 'latin1').catch(() => '')).split(' ');
    pages += Math.max(0, Number(resident ?? 0) - Number(shared ?? 0));
  }
  return pages * PAGE_BYTES;
}
