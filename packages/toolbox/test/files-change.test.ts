import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startToolbox, type Reply } from './toolbox.ts';

const outcome = (reply: Reply) => [reply.status, reply.json.code];
const mode = (path: string) => (statSync(path).mode & 0o7777).toString(8);

test('folders: parents, mode, existing', async () => {
  const toolbox = await startToolbox();
  const reply = await toolbox.post('/files/folder?path=a/b&mode=0777');
  expect([reply.status, reply.text]).toEqual([201, '']);
  expect([mode(join(toolbox.dir, 'a/b')), mode(join(toolbox.dir, 'a'))]).toEqual(['777', '755']);
  expect((await toolbox.post('/files/folder?path=a/b&mode=0700')).status).toBe(201);
  expect(mode(join(toolbox.dir, 'a/b'))).toBe('777');
  expect((await toolbox.post('/files/folder?path=plain&mode=')).status).toBe(201);
  expect(mode(join(toolbox.dir, 'plain'))).toBe('755');
  symlinkSync('plain', join(toolbox.dir, 'link'));
  expect((await toolbox.post('/files/folder?path=link')).status).toBe(201);
});

test('folders that cannot be', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  await toolbox.exec('touch file; mkdir -m 500 closed');
  for (const query of ['path=x&mode=9', 'path=x&mode=rwx', 'path=file', 'path=file/x', 'path=']) expect([query, (await toolbox.post(`/files/folder?${query}`)).status]).toEqual([query, 400]);
  expect(outcome(await toolbox.post('/files/folder?path=closed/x'))).toEqual([403, 'FILE_ACCESS_DENIED']);
});

test('deletes files, links themselves, and directories only with the word true', async () => {
  const toolbox = await startToolbox();
  const at = (name: string) => join(toolbox.dir, name);
  mkdirSync(at('dir/sub'), { recursive: true });
  symlinkSync('dir', at('link'));
  symlinkSync('nowhere', at('dangling'));
  const remove = (query: string) => toolbox.send('DELETE', `/files?path=${query}`);
  for (const link of ['link', 'dangling']) expect((await remove(link)).status).toBe(204);
  expect(existsSync(at('dir/sub'))).toBe(true);
  for (const query of ['dir', 'dir&recursive=false', 'dir&recursive=1', '/&recursive=true']) expect([query, (await remove(query)).status]).toEqual([query, 400]);
  expect((await remove('dir&recursive=true')).status).toBe(204);
  expect(readdirSync(toolbox.dir)).toEqual([]);
  expect(outcome(await remove('dir'))).toEqual([404, 'FILE_NOT_FOUND']);
});

test('moves, never replaces, never moves into', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec('echo a > a; mkdir d; echo b > b; ln -s nowhere l');
  const move = (source: string, destination: string) => toolbox.post(`/files/move?source=${source}&destination=${destination}`);
  const moved = await move('a', 'd/c');
  expect([moved.status, moved.text]).toEqual([200, '']);
  expect(readFileSync(join(toolbox.dir, 'd/c'), 'utf8')).toBe('a\n');
  expect(outcome(await move('b', 'd'))).toEqual([409, 'CONFLICT']);
  expect(outcome(await move('b', 'l'))).toEqual([409, 'CONFLICT']);
  expect(outcome(await move('missing', 'x'))).toEqual([404, 'FILE_NOT_FOUND']);
  expect(outcome(await move('b', 'missing/x'))).toEqual([404, 'FILE_NOT_FOUND']);
  expect((await move('d', 'd/inside')).status).toBe(400);
  expect((await move('l', 'm')).status).toBe(200);
  expect(readlinkSync(join(toolbox.dir, 'm'))).toBe('nowhere');
});

test('moves across file systems', async () => {
  const toolbox = await startToolbox();
  const other = `/dev/shm/paddock-test-${process.pid}`;
  mkdirSync(other);
  onTestFinished(() => (expect(readdirSync(other)).toEqual(['tree']), (statSync(other), import('node:fs').then((fs) => fs.rmSync(other, { recursive: true })))) as Promise<void>);
  await toolbox.exec('mkdir -p tree/sub; echo x > tree/sub/f; chmod 640 tree/sub/f; ln -s sub tree/l; touch -d @1700000000 tree/sub/f');
  expect((await toolbox.post(`/files/move?source=tree&destination=${other}/tree`)).status).toBe(200);
  const file = statSync(`${other}/tree/sub/f`);
  expect([(file.mode & 0o777).toString(8), file.mtimeMs, readlinkSync(`${other}/tree/l`), existsSync(join(toolbox.dir, 'tree'))]).toEqual(['640', 1_700_000_000_000, 'sub', false]);
});

test('permissions: mode without special bits, owner and group by name or number', async () => {
  const toolbox = await startToolbox();
  writeFileSync(join(toolbox.dir, 'f'), '');
  const set = (query: string) => toolbox.post(`/files/permissions?path=f&${query}`);
  const reply = await set('mode=7751&owner=daemon&group=4');
  expect([reply.status, reply.text]).toEqual([200, '']);
  const { uid, gid } = lstatSync(join(toolbox.dir, 'f'));
  expect([mode(join(toolbox.dir, 'f')), uid, gid]).toEqual(['751', 1, 4]);
  for (const query of ['mode=8', 'owner=nobody-of-that-name', 'group=nothing', 'owner=4294967295']) expect([query, (await set(query)).status]).toEqual([query, 400]);
  expect((await toolbox.post('/files/permissions?path=missing&mode=644')).status).toBe(404);
});

test('an unprivileged user may not give files away, which is a 400', async () => {
  const toolbox = await startToolbox({ uid: 1234 });
  await toolbox.exec('touch f');
  expect((await toolbox.post('/files/permissions?path=f&owner=root')).status).toBe(400);
  expect(outcome(await toolbox.post('/files/permissions?path=/etc/passwd&mode=777'))).toEqual([403, 'FILE_ACCESS_DENIED']);
});
