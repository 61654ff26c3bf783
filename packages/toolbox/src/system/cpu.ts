import { readdir, readFile } from 'node:fs/promises';
import os from 'node:os';
import { TOOLBOX_ENV } from '@paddock/contract';
import { readCgroup } from './cgroup.ts';

/** Cores the sandbox may use; may be a fraction. */
export async function cpuLimit(): Promise<number> {
  const given = Number(process.env[TOOLBOX_ENV.cpus] ?? 0);
  if (given > 0) return given;
  const [quota, period] = (await readCgroup('cpu.max', 'cpu', 'cpu.cfs_quota_us'))?.split(/\s+/) ?? [];
  const periodUs = Number(period ?? (await readCgroup('cpu.max', 'cpu', 'cpu.cfs_period_us')));
  const limit = Number(quota) / periodUs;
  return limit > 0 && Number.isFinite(limit) ? limit : os.availableParallelism();
}

/** Processor time used by the sandbox so far. */
export async function cpuSeconds(): Promise<number> {
  const text = await readCgroup('cpu.stat', 'cpuacct', 'cpuacct.usage');
  if (text === null) return await processSeconds();
  const v2 = /^usage_usec (\d+)/m.exec(text);
  return v2 ? Number(v2[1]) / 1e6 : Number(text) / 1e9;
}

/** Linux counts process times in hundredths on every architecture Node runs on. */
const TICKS_PER_SECOND = 100;

/** Times of all processes and of the children they have waited for: a process that ended counts on in its parent. */
async function processSeconds(): Promise<number> {
  let ticks = 0;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
    // The command name, in parentheses, may hold anything: fields are counted after its end. utime is field 14.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    for (const field of fields.slice(11, 15)) ticks += Number(field);
  }
  return ticks / TICKS_PER_SECOND;
}
