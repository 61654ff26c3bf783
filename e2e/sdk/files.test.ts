import { randomBytes, createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { SDKS, withSandbox } from './support.ts';

const sha = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
const MIB = 1024 * 1024;

describe.each(SDKS)('files with %s', (_name, sdk) => {
  test('upload and download of buffers, nested folders, odd names and binary content', async () => {
    await withSandbox(sdk, {}, async ({ fs }) => {
      const binary = randomBytes(300_000);
      await fs.uploadFile(binary, 'deep/er/data.bin');
      await fs.uploadFile(Buffer.alloc(0), 'empty');
      await fs.uploadFile(Buffer.from('x'), 'sp ace/ünï "quote".txt');
      expect(sha(await fs.downloadFile('deep/er/data.bin'))).toBe(sha(binary));
      expect((await fs.downloadFile('empty')).length).toBe(0);
      expect((await fs.downloadFile('sp ace/ünï "quote".txt')).toString()).toBe('x');
      const details = await fs.getFileDetails('deep/er/data.bin');
      expect(details).toMatchObject({ name: 'data.bin', isDir: false, size: 300_000, mode: '-rw-r--r--', permissions: '0644' });
    });
  });

  test('upload and download of local paths and many files at once', async () => {
    const local = await mkdtemp(join(tmpdir(), 'paddock-e2e-'));
    try {
      await withSandbox(sdk, {}, async ({ fs }) => {
        const source = join(local, 'source');
        await writeFile(source, randomBytes(2 * MIB));
        await fs.uploadFile(source, '/tmp/from-path');
        await fs.uploadFiles([
          { source: Buffer.from('one'), destination: 'many/1' },
          { source, destination: 'many/2' },
          { source: Buffer.from('three'), destination: '/tmp/3' },
        ]);
        await fs.downloadFile('/tmp/from-path', join(local, 'back'));
        expect(sha(await readFile(join(local, 'back')))).toBe(sha(await readFile(source)));
        const answers = await fs.downloadFiles([
          { source: 'many/1' }, { source: 'missing' }, { source: '/tmp' }, { source: 'many/2', destination: join(local, 'two') },
        ]);
        expect(answers.map((a) => [a.source, a.error === undefined])).toEqual([
          ['many/1', true], ['missing', false], ['/tmp', false], ['many/2', true],
        ]);
        expect(answers[1]!.errorDetails).toMatchObject({ statusCode: 404, code: 'FILE_NOT_FOUND' });
        expect(answers[2]!.errorDetails).toMatchObject({ statusCode: 400, code: 'INVALID_FILE_PATH' });
        expect(sha(await readFile(join(local, 'two')))).toBe(sha(await readFile(source)));
      });
    } finally {
      await rm(local, { recursive: true, force: true });
    }
  });

  test('streams report progress and arrive whole', async () => {
    await withSandbox(sdk, {}, async ({ fs }) => {
      const chunks = Array.from({ length: 64 }, () => randomBytes(MIB / 4));
      const sent: number[] = [];
      await fs.uploadFileStream(Readable.from(chunks), 'streamed', { onProgress: (p) => sent.push(p.bytesSent) });
      expect(sent.at(-1)).toBe(16 * MIB);
      const seen: Array<[number, number | undefined]> = [];
      const hash = createHash('sha256');
      for await (const chunk of await fs.downloadFileStream('streamed', { onProgress: (p) => seen.push([p.bytesReceived, p.totalBytes]) })) {
        hash.update(chunk as Buffer);
      }
      expect(hash.digest('hex')).toBe(sha(Buffer.concat(chunks)));
      expect(seen.at(-1)).toEqual([16 * MIB, 16 * MIB]);
    });
  });

  test('an aborted upload and an aborted download leave the sandbox usable', async () => {
    await withSandbox(sdk, {}, async ({ fs, process: run }) => {
      const stop = new AbortController();
      const endless = Readable.from((async function* () {
        for (let i = 0; ; i += 1) {
          if (i === 8) stop.abort();
          yield randomBytes(MIB / 8);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      })());
      await expect(fs.uploadFileStream(endless, 'partial', { signal: stop.signal })).rejects.toThrow();
      await run.executeCommand('head -c 50000000 /dev/zero > big');
      const halt = new AbortController();
      const reading = (async () => {
        let n = 0;
        for await (const chunk of await fs.downloadFileStream('big', { signal: halt.signal })) {
          n += (chunk as Buffer).length;
          if (n > MIB) halt.abort();
        }
      })();
      await expect(reading).rejects.toThrow();
      await fs.uploadFile(Buffer.from('fine'), 'after');
      expect((await fs.downloadFile('after')).toString()).toBe('fine');
    });
  });

  test('folders, listing with depth, move, permissions, search, find and replace', async () => {
    await withSandbox(sdk, {}, async ({ fs, process: run }) => {
      await fs.createFolder('project/src', '755');
      await fs.uploadFile(Buffer.from('alpha TODO\nbeta\n'), 'project/src/a.txt');
      await fs.uploadFile(Buffer.from('TODO two TODO\n'), 'project/b.md');
      expect((await fs.listFiles('project')).map((f) => [f.name, f.isDir])).toEqual([['b.md', false], ['src', true]]);
      const deep = await fs.listFiles('project', { depth: 2 } as never);
      expect(deep.map((f) => (f as { path?: string }).path ?? f.name).some((p) => p.endsWith('src/a.txt'))).toBe(true);
      const found = await fs.findFiles('project', 'TODO');
      expect(found.map((m) => [m.file.replace(/.*project\//, ''), m.line, m.content.trim()]).sort()).toEqual([
        ['b.md', 1, 'TODO two TODO'], ['src/a.txt', 1, 'alpha TODO'],
      ]);
      expect((await fs.searchFiles('project', '*.md')).files.map((f) => f.replace(/.*project\//, ''))).toEqual(['b.md']);
      const replaced = await fs.replaceInFiles(['project/b.md', 'project/none'], 'TODO', 'DONE');
      expect(replaced.map((r) => r.success)).toEqual([true, false]);
      expect((await fs.downloadFile('project/b.md')).toString()).toBe('DONE two DONE\n');
      await fs.moveFiles('project/b.md', 'project/c.md');
      await expect(fs.moveFiles('project/c.md', 'project/src/a.txt')).rejects.toBeInstanceOf(sdk.DaytonaConflictError);
      await fs.setFilePermissions('project/c.md', { mode: '600' });
      expect((await fs.getFileDetails('project/c.md')).permissions).toBe('0600');
      await fs.deleteFile('project', true);
      expect((await run.executeCommand('ls')).result).not.toContain('project');
    });
  });

  test('a full disk is an error, not a loss: what was there stays and space can be freed', async () => {
    await withSandbox(sdk, {}, async ({ fs, process: run }) => {
      await fs.uploadFile(Buffer.from('precious'), 'precious');
      const fill = await run.executeCommand('dd if=/dev/zero of=fill bs=1M count=4000 2>&1; stat -c %s fill');
      expect(fill.result).toMatch(/Disk quota exceeded|No space left/);
      await expect(fs.uploadFile(randomBytes(8 * MIB), 'more')).rejects.toThrow(/quota|space/i);
      expect((await fs.downloadFile('precious')).toString()).toBe('precious');
      await run.executeCommand('rm -f fill more');
      await fs.uploadFile(randomBytes(8 * MIB), 'more');
      expect((await fs.getFileDetails('more')).size).toBe(8 * MIB);
    });
  });
});
