import { createHash, randomBytes } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { FileEntry, SFTPWrapper, Stats } from 'ssh2';
import { expect, test } from 'vitest';
import { sftp, sshClient } from './ssh-client.ts';
import { startToolbox } from './toolbox.ts';

const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
// eslint-disable-next-line @typescript-eslint/no-explicit-any
const call = <T>(wrapper: SFTPWrapper, name: string, ...args: unknown[]): Promise<T> => promisify((wrapper as any)[name]).apply(wrapper, args) as Promise<T>;
const codeOf = (promise: Promise<unknown>): Promise<number> => promise.then(() => 0, (error: { code: number }) => error.code);

test('carries 50 MiB there and back', async () => {
  const toolbox = await startToolbox();
  const client = await sftp(await sshClient(toolbox));
  const content = randomBytes(50 * 1024 * 1024);
  const [there, back] = [join(toolbox.dir, 'there'), join(toolbox.dir, 'back')];
  writeFileSync(join(toolbox.dir, 'source'), content);
  await call(client, 'fastPut', join(toolbox.dir, 'source'), 'there');
  expect(hash(readFileSync(there))).toBe(hash(content));
  await call(client, 'fastGet', 'there', back);
  expect(hash(readFileSync(back))).toBe(hash(content));
}, 60_000);

test('makes, lists, changes and removes', async () => {
  const toolbox = await startToolbox();
  const at = (name: string): string => join(toolbox.dir, name);
  const client = await sftp(await sshClient(toolbox));
  expect(await call(client, 'realpath', '.')).toBe(toolbox.dir);
  expect(await call(client, 'realpath', 'not-there')).toBe(at('not-there'));
  await call(client, 'mkdir', 'folder', { mode: 0o750 });
  await call(client, 'writeFile', 'folder/a', 'content');
  await call(client, 'setstat', 'folder/a', { mode: 0o640, atime: 1000, mtime: 2000 });
  expect([statSync(at('folder/a')).mode & 0o777, statSync(at('folder/a')).mtimeMs]).toEqual([0o640, 2_000_000]);
  const stats = await call<Stats>(client, 'stat', 'folder/a');
  expect([stats.size, stats.mtime, stats.isFile()]).toEqual([7, 2000, true]);
  symlinkSync('a', at('folder/link'));
  expect(await call(client, 'readlink', 'folder/link')).toBe('a');
  expect((await call<Stats>(client, 'lstat', 'folder/link')).isSymbolicLink()).toBe(true);
  const list = await call<FileEntry[]>(client, 'readdir', 'folder');
  expect(list.map(({ filename }) => filename).sort()).toEqual(['a', 'link']);
  expect(list.find(({ filename }) => filename === 'a')!.longname).toMatch(/^-rw-r----- +1 \d+ +\d+ +7 .* a$/);
  await call(client, 'rename', 'folder/a', 'folder/b');
  writeFileSync(at('folder/c'), 'other');
  await call(client, 'ext_openssh_rename', 'folder/b', 'folder/c');
  expect(readFileSync(at('folder/c'), 'utf8')).toBe('content');
  await call(client, 'ext_openssh_hardlink', 'folder/c', 'folder/d');
  expect(lstatSync(at('folder/d')).nlink).toBe(2);
  expect((await call<{ f_namemax: number }>(client, 'ext_openssh_statvfs', 'folder')).f_namemax).toBe(255);
  await call(client, 'appendFile', 'folder/c', '!');
  expect(readFileSync(at('folder/c'), 'utf8')).toBe('content!');
  for (const name of ['c', 'd', 'link']) await call(client, 'unlink', `folder/${name}`);
  await call(client, 'rmdir', 'folder');
  expect(existsSync(at('folder'))).toBe(false);
  // This client sends the new link first to servers that do not call themselves OpenSSH, all others send the target first.
  await call(client, 'symlink', 'new', 'target');
  expect(readlinkSync(at('new'))).toBe('target');
});

test('says what failed by the codes of version 3', async () => {
  const toolbox = await startToolbox();
  const client = await sftp(await sshClient(toolbox));
  mkdirSync(join(toolbox.dir, 'folder/full'), { recursive: true });
  writeFileSync(join(toolbox.dir, 'file'), '');
  writeFileSync(join(toolbox.dir, 'other'), '');
  expect(await codeOf(call(client, 'stat', 'nothing'))).toBe(2);
  expect(await codeOf(call(client, 'open', '/proc/1/mem-not', 'r'))).toBe(2);
  expect(await codeOf(call(client, 'rmdir', 'folder'))).toBe(4);
  expect(await codeOf(call(client, 'mkdir', 'folder'))).toBe(4);
  expect(await codeOf(call(client, 'rename', 'file', 'other'))).toBe(4);
  expect(await codeOf(call(client, 'open', 'folder', 'r'))).toBe(4);
  expect(await codeOf(call(client, 'open', 'file', 'wx'))).toBe(4);
  expect(await codeOf(call(client, 'close', Buffer.from('none')))).toBe(4);
  expect(await codeOf(call(client, 'writeFile', '/proc/version', 'x'))).toBeGreaterThan(2);
});

test('lists a folder of 2,000', async () => {
  const toolbox = await startToolbox();
  mkdirSync(join(toolbox.dir, 'many'));
  for (let at = 0; at < 2000; at++) writeFileSync(join(toolbox.dir, `many/${at}`), '');
  const client = await sftp(await sshClient(toolbox));
  expect((await call<FileEntry[]>(client, 'readdir', 'many')).length).toBe(2000);
});
