import { spawn } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DiskBlobs } from '@paddock/store';
import { expect, test, vi } from 'vitest';
import { diskStore, listAll, read } from './support.ts';

test('killed at any moment: every blob is whole, what was answered is there, nothing is left over', { timeout: 120_000 }, async () => {
  await using store = diskStore();
  const answered = new Map<string, number>();
  let start = 0;
  for (let round = 0; round < 12; round++) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'disk-writer.ts'), store.root, String(start)], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => { said += chunk.toString(); });
    await once(child.stdout, 'data');
    await sleep(randomInt(200));
    child.kill('SIGKILL');
    await once(child, 'close');
    for (const [key = '', sequence] of said.split('\n').slice(0, -1).map((line) => line.split(' '))) answered.set(key, Number(sequence));
    start = Math.max(start, ...answered.values()) + 1000;

    const blobs = new DiskBlobs(store.root);
    const { keys } = await listAll(blobs, '');
    expect(readdirSync(join(store.root, 'tmp'))).toEqual([]);
    for (const key of keys) {
      const info = (await blobs.head(key))!;
      const content = (await read(blobs, key))!;
      expect({ key, size: content.length, etag: createHash('md5').update(content).digest('hex') }).toEqual({ key, size: info.size, etag: info.etag });
      if (answered.has(key)) expect(Number(info.metadata['sequence'])).toBeGreaterThanOrEqual(answered.get(key)!);
    }
    expect(keys).toEqual(expect.arrayContaining([...answered.keys()]));
    if (round === 11) {
      // Every directory of pieces has its blob, every blob its pieces.
      for (const key of keys) await blobs.remove(key);
      await vi.waitFor(() => expect(readdirSync(join(store.root, 'pieces'))).toEqual([]), 5000);
      // A directory that was made for a blob, or was about to go with its last, may stay: it is empty and no key.
      expect(readdirSync(join(store.root, 'tree'), { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory())).toEqual([]);
      expect((await blobs.list('', { limit: 1000, delimiter: '/' })).prefixes).toEqual([]);
    }
    blobs.close();
  }
  expect(answered.size).toBeGreaterThan(4);
});
