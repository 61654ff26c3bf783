import { readFile, statfs } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { TOOLBOX_ENV } from '@paddock/contract';
import { type Exchange, sendJson } from '../http/exchange.ts';
import { cpuLimit, cpuSeconds } from './cpu.ts';
import { memory } from './memory.ts';

/** Age at which the last sample no longer tells about the present, and how long a fresh one then takes. */
const STALE_MS = 30_000;
const FRESH_MS = 100;

interface Sample {
  readonly atMs: number;
  readonly cpuSeconds: number;
}

let last: Sample | null = null;

/** `GET /system/metrics`: what the sandbox uses of what it was given. Nothing is measured while nobody asks. */
export async function handle(exchange: Exchange): Promise<void> {
  const cpus = await cpuLimit();
  const cpuUsedPct = await cpuPercent(cpus);
  const { total, used, cache } = await memory();
  const at = new Date();
  sendJson(exchange, 200, {
    timestamp: at.toISOString(),
    timestampUnix: Math.floor(at.getTime() / 1000),
    cpuCount: Math.max(1, Math.ceil(cpus)),
    cpuUsedPct,
    memTotal: total,
    memUsed: used,
    memCache: cache,
    ...(await disk()),
  });
}

/** Percent of the limit since the request before, or over a moment when that is long ago. */
async function cpuPercent(cpus: number): Promise<number> {
  let from = last;
  if (!from || performance.now() - from.atMs > STALE_MS) {
    from = await sample();
    await sleep(FRESH_MS);
  }
  last = await sample();
  const elapsed = (last.atMs - from.atMs) / 1000;
  const share = elapsed <= 0 ? 0 : (last.cpuSeconds - from.cpuSeconds) / elapsed / cpus;
  return Math.round(Math.min(Math.max(share, 0), 1) * 10_000) / 100;
}

const sample = async (): Promise<Sample> => ({ cpuSeconds: await cpuSeconds(), atMs: performance.now() });

/**
 * The quota and what is charged to it. The file system itself is shared with other sandboxes, so its own numbers only
 * count where no quota is set; with a quota and no count, what is used stays unsaid.
 */
async function disk(): Promise<{ diskTotal: number; diskUsed?: number; diskFree?: number }> {
  const fs = await statfs('/');
  const whole = fs.blocks * fs.bsize;
  const quota = Number(process.env[TOOLBOX_ENV.diskBytes] ?? 0);
  if (!(quota > 0)) return { diskTotal: whole, diskUsed: (fs.blocks - fs.bfree) * fs.bsize, diskFree: fs.bavail * fs.bsize };
  const used = Number.parseInt(await readFile(process.env[TOOLBOX_ENV.diskUsedFile] ?? '', 'utf8').catch(() => ''), 10);
  if (!Number.isFinite(used)) return { diskTotal: quota };
  return { diskTotal: quota, diskUsed: Math.min(used, quota), diskFree: Math.max(0, quota - used) };
}
