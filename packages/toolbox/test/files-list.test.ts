import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startToolbox } from './toolbox.ts';

test('a file is described as the wire says', async () => {
  const toolbox = await startToolbox();
  const path = join(toolbox.dir, 'a b.txt');
  writeFileSync(path, '12345', { mode: 0o640 });
  utimesSync(path, 1_700_000_000.25, 1_700_000_000.25);
  const { json } = await toolbox.get('/files/info?path=a+b.txt');
  expect(json).toEqual({
    name: 'a b.txt', path, size: 5, mode: '-rw-r-----', permissions: '0640', isDir: false, owner: '0', group: '0',
    modTime: '2023-11-14 22:13:20.25 +0000 UTC', modifiedAt: '2023-11-14T22:13:20.25Z',
  });
});

test.each([
  ['mkdir -m 1777 x', 'dtrwxrwxrwx', '0777'], ['mkdir -m 755 x', 'drwxr-xr-x', '0755'], ['touch x; chmod 4755 x', 'urwxr-xr-x', '0755'],
  ['touch x; chmod 2710 x', 'grwx--x---', '0710'], ['mkfifo -m 600 x', 'prw-------', '0600'], ['mknod -m 666 x c 1 3', 'Dcrw-rw-rw-', '0666'],
])('%s is %s', async (command, mode, permissions) => {
  const toolbox = await startToolbox();
  await toolbox.exec(command);
  expect((await toolbox.get('/files/info?path=x')).json).toMatchObject({ mode, permissions });
});

test('lists by name, follows links, leaves out links to nowhere', async () => {
  const toolbox = await startToolbox();
  const at = (name: string) => join(toolbox.dir, name);
  mkdirSync(at('dir'));
  writeFileSync(at('b'), 'bb');
  writeFileSync(at('.hidden'), '');
  symlinkSync('dir', at('link'));
  symlinkSync('nowhere', at('dangling'));
  const { json } = await toolbox.get('/files');
  expect(json.map((file: { name: string; isDir: boolean; size: number; path: string }) => [file.name, file.isDir, file.path])).toEqual([
    ['.hidden', false, at('.hidden')], ['b', false, at('b')], ['dir', true, at('dir')], ['link', true, at('link')],
  ]);
  expect((await toolbox.get(`/files/?path=${at('dir')}`)).json).toEqual([]);
});

test('depth lists what lies below, each directory before its contents, and never walks through links', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec('mkdir -p a/b/c; touch a/1 a/b/2 a/b/c/3 z; ln -s .. a/up');
  const names = async (query: string) => (await toolbox.get(`/files?path=.${query}`)).json.map((file: { path: string }) => file.path.slice(toolbox.dir.length + 1));
  expect(await names('&depth=1')).toEqual(['a', 'z']);
  expect(await names('&depth=2')).toEqual(['a', 'a/1', 'a/b', 'a/up', 'z']);
  expect(await names('&depth=99')).toEqual(['a', 'a/1', 'a/b', 'a/b/2', 'a/b/c', 'a/b/c/3', 'a/up', 'z']);
  for (const depth of ['0', '-1', 'x', '1.5']) expect((await toolbox.get(`/files?depth=${depth}`)).status).toBe(400);
});

test('missing, closed and no directory', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  await toolbox.exec('mkdir -m 0 closed; touch file');
  const at = async (path: string) => {
    const { status, json } = await toolbox.get(`/files?path=${path}`);
    return [status, json.code];
  };
  expect(await at('missing')).toEqual([404, 'FILE_NOT_FOUND']);
  expect(await at('closed')).toEqual([403, 'FILE_ACCESS_DENIED']);
  expect(await at('file')).toEqual([400, 'BAD_REQUEST']);
  expect((await toolbox.get('/files/info?path=missing')).json).toMatchObject({ code: 'FILE_NOT_FOUND', message: expect.stringContaining('not found') });
  expect((await toolbox.get('/files/info?path=closed/x')).json.code).toBe('FILE_ACCESS_DENIED');
});

test('a directory of many thousands of files', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec('mkdir many; cd many; seq 1 20000 | xargs touch');
  expect((await toolbox.get('/files?path=many')).json).toHaveLength(20_000);
});
