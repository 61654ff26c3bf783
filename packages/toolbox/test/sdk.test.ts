/** The official SDK's own file and process classes, pointed at a toolbox: the framing, the parsing and the error classes are theirs. */
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import * as sdk from '@daytona/sdk';
import { Configuration, FileSystemApi, ProcessApi } from '@daytona/toolbox-api-client';
import { expect, test } from 'vitest';
import { startToolbox, type Toolbox } from './toolbox.ts';

async function connect(): Promise<{ toolbox: Toolbox; fs: sdk.FileSystem; process: sdk.Process }> {
  const toolbox = await startToolbox();
  await toolbox.post('/init', { token: 't' });
  await expect.poll(() => fetch(`http://127.0.0.1:${toolbox.port}/version`).then(() => true, () => false)).toBe(true);
  const config = new Configuration({ basePath: `http://127.0.0.1:${toolbox.port}`, baseOptions: { headers: {} } });
  const axios = (sdk.Daytona as any).createAxiosInstance();
  return {
    toolbox,
    fs: new (sdk.FileSystem as any)(config, new FileSystemApi(config, '', axios)),
    process: new (sdk.Process as any)(config, new ProcessApi(config, '', axios), async () => '', 'python'),
  };
}

const bytes = Buffer.from(Array.from({ length: 1_500_000 }, (_, at) => (at * 13) % 256));

test('uploads and downloads of buffers, local files and several at once', async () => {
  const { toolbox, fs } = await connect();
  await fs.uploadFile(bytes, 'dir/ä "b".bin');
  expect((await fs.downloadFile('dir/ä "b".bin')).equals(bytes)).toBe(true);
  const local = join(toolbox.dir, 'local');
  writeFileSync(local, bytes);
  await fs.uploadFile(local, 'copy');
  await fs.downloadFile('copy', join(toolbox.dir, 'back'));
  expect(readFileSync(join(toolbox.dir, 'back')).equals(bytes)).toBe(true);
  await fs.uploadFiles([{ source: Buffer.from('1'), destination: 'one' }, { source: Buffer.from(''), destination: 'empty' }]);
  const many = await fs.downloadFiles([{ source: 'one' }, { source: 'missing' }, { source: 'dir' }, { source: './copy' }]);
  expect(many.map(({ source, error, errorDetails }) => [source, error === undefined, errorDetails?.code])).toEqual([['one', true, undefined], ['missing', false, 'FILE_NOT_FOUND'], ['dir', false, 'INVALID_FILE_PATH'], ['./copy', true, undefined]]);
  expect(Buffer.from(many[3]!.result as Uint8Array).equals(bytes)).toBe(true);
});

test('streams both ways with progress', async () => {
  const { fs } = await connect();
  const sent: number[] = [];
  await fs.uploadFileStream(Readable.from([bytes, bytes]), 'stream', { onProgress: ({ bytesSent }) => sent.push(bytesSent) });
  expect(sent.at(-1)).toBe(bytes.length * 2);
  const received: { bytesReceived: number; totalBytes?: number }[] = [];
  const stream = await fs.downloadFileStream('stream', { onProgress: (progress) => received.push({ ...progress }) });
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(stream, 'end');
  expect(Buffer.concat(chunks).equals(Buffer.concat([bytes, bytes]))).toBe(true);
  expect(received.at(-1)).toEqual({ bytesReceived: bytes.length * 2, totalBytes: bytes.length * 2 });
});

test('metadata, search and changes', async () => {
  const { toolbox, fs } = await connect();
  await fs.createFolder('a/b', '755');
  await fs.uploadFile(Buffer.from('x = 1\ny = 2\n'), 'a/b/f.py');
  expect((await fs.listFiles('a', { depth: 2 })).map((file) => file.path)).toEqual([`${toolbox.dir}/a/b`, `${toolbox.dir}/a/b/f.py`]);
  expect(await fs.getFileDetails('a/b/f.py')).toMatchObject({ name: 'f.py', size: 12, isDir: false, permissions: '0644' });
  expect(await fs.findFiles('a', 'y =')).toEqual([{ file: 'a/b/f.py', line: 2, content: 'y = 2' }]);
  expect(await fs.searchFiles('a', '*.py')).toEqual({ files: ['a/b/f.py'] });
  expect(await fs.replaceInFiles(['a/b/f.py'], 'x', 'z')).toEqual([{ file: 'a/b/f.py', success: true }]);
  await fs.setFilePermissions('a/b/f.py', { mode: '600' });
  await fs.moveFiles('a/b/f.py', 'a/g.py');
  expect((await fs.downloadFile('a/g.py')).toString()).toBe('z = 1\ny = 2\n');
  await fs.deleteFile('a', true);
  expect(await fs.listFiles('.')).toEqual([]);
});

test('errors arrive as the SDK\'s typed classes', async () => {
  const { toolbox, fs, process } = await connect();
  mkdirSync(join(toolbox.dir, 'd'));
  await expect(fs.downloadFile('missing')).rejects.toMatchObject({ name: 'DaytonaFileNotFoundError', statusCode: 404 });
  await expect(fs.getFileDetails('missing')).rejects.toMatchObject({ name: 'DaytonaFileNotFoundError', source: 'DAYTONA_DAEMON' });
  await expect(fs.downloadFileStream('d')).rejects.toMatchObject({ name: 'DaytonaInvalidFilePathError' });
  await expect(fs.deleteFile('d')).rejects.toMatchObject({ statusCode: 400, message: expect.stringContaining('recursive') });
  await expect(fs.uploadFile(Buffer.from('x'), 'd')).rejects.toMatchObject({ statusCode: 400, message: expect.stringContaining('is a directory') });
  await fs.uploadFile(Buffer.from('x'), 'f');
  await expect(fs.moveFiles('f', 'd')).rejects.toMatchObject({ name: 'DaytonaConflictError' });
  await expect(process.executeCommand('sleep 9', undefined, undefined, 1)).rejects.toMatchObject({ name: 'DaytonaProcessExecutionTimeoutError', message: expect.stringContaining('timeout') });
});

test('commands and code', async () => {
  const { toolbox, process } = await connect();
  expect(await process.executeCommand('echo $A; pwd; exit 3', 'missing/..', { A: 'b' })).toMatchObject({ exitCode: 3, result: `b\n${toolbox.dir}\n`, artifacts: { stdout: `b\n${toolbox.dir}\n` } });
  const run = await process.codeRun('import sys, os; print(sys.argv[1:], os.environ["A"])', { argv: ['x y'], env: { A: '1' } } as sdk.CodeRunParams);
  expect(run).toMatchObject({ exitCode: 0, result: "['x y'] 1\n" });
});

test('an upload that is called off leaves a toolbox that goes on serving', async () => {
  const { toolbox, fs } = await connect();
  const abort = new AbortController();
  const endless = new Readable({ read() { setTimeout(() => this.push(Buffer.alloc(65536)), 1); } });
  const upload = fs.uploadFileStream(endless, 'f', { signal: abort.signal });
  setTimeout(() => abort.abort(), 200);
  await expect(upload).rejects.toThrow(/abort|cancel/i);
  expect((await toolbox.exec('echo fine')).json.result).toBe('fine\n');
});
