import { createHash, randomFillSync } from 'node:crypto';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Daytona } from '@daytona/sdk';
import type { Paddock } from '../e2e/support/harness.ts';
import { MemoryWatch, pidsInCgroup, processTree } from './memory.ts';
import { atLeast, atMost, series, timed, type Figure } from './stats.ts';

const SIZE_MIB = 256;

/** Upload and download of one large file from and to local paths, with the memory of every Paddock process watched. */
export async function transfers(paddock: Paddock, quick: boolean): Promise<Figure[]> {
  console.log(`\nTransfers of ${SIZE_MIB} MiB through the SDK`);
  const dir = await mkdtemp(join(tmpdir(), 'paddock-bench-'));
  const daytona = new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey });
  const sandbox = await daytona.create();
  try {
    const local = join(dir, 'source');
    const digest = await randomFile(local);
    const pids = [...processTree(paddock.pids().supervisor), ...pidsInCgroup(sandbox.id)];
    const up: number[] = [];
    const down: number[] = [];
    let growth = 0;
    for (let i = -1; i < (quick ? 2 : 5); i += 1) {
      const watch = new MemoryWatch(pids);
      const upload = await timed(() => sandbox.fs.uploadFile(local, '/tmp/big'));
      const download = await timed(() => sandbox.fs.downloadFile('/tmp/big', join(dir, 'back')));
      const most = watch.stop().reduce((a, b) => (b.growthBytes > a.growthBytes ? b : a));
      if (i < 0) continue;
      up.push(upload);
      down.push(download);
      growth = Math.max(growth, most.growthBytes / 2 ** 20);
    }
    const check = await sandbox.process.executeCommand('sha256sum /tmp/big');
    if (!check.result.startsWith(digest) || (await stat(join(dir, 'back'))).size !== SIZE_MIB * 2 ** 20) throw new Error('content differs');
    const rate = (times: number[], name: string): number => (SIZE_MIB * 1.048576) / (series(name, times).p50 / 1000);
    const upRate = rate(up, 'upload');
    const downRate = rate(down, 'download');
    console.log(`upload   p50 ${upRate.toFixed(0)} MB/s   n ${up.length}`);
    console.log(`download p50 ${downRate.toFixed(0)} MB/s   n ${down.length}`);
    console.log(`largest growth of one process meanwhile ${growth.toFixed(1)} MiB (after one uncounted round)`);
    return [
      atLeast('upload of 256 MiB', upRate, 250, 'MB/s'),
      atLeast('download of 256 MiB', downRate, 250, 'MB/s'),
      atMost('  memory growth of any process', growth, 64, 'MiB'),
    ];
  } finally {
    await sandbox.delete();
    await rm(dir, { recursive: true, force: true });
  }
}

async function randomFile(path: string): Promise<string> {
  const file = await open(path, 'w');
  const hash = createHash('sha256');
  const block = Buffer.allocUnsafe(2 ** 20);
  for (let i = 0; i < SIZE_MIB; i += 1) {
    randomFillSync(block);
    hash.update(block);
    await file.write(block);
  }
  await file.close();
  return hash.digest('hex');
}
