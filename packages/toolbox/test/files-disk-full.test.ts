import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { multipart, startToolbox } from './toolbox.ts';

test('a full disk is a clear 400 on every way to write, and commands still run', async () => {
  const toolbox = await startToolbox();
  const disk = join(toolbox.dir, 'disk');
  mkdirSync(disk);
  expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]).status).toBe(0);
  onTestFinished(() => {
    spawnSync('umount', ['-l', disk]);
    rmSync(disk, { recursive: true, force: true });
  });
  const content = Buffer.alloc(4 * 1024 * 1024, 'x');

  const bulk = multipart([['files[0].path', null, 'disk/a'], ['files[0].file', 'x', content], ['files[1].path', null, 'ok'], ['files[1].file', 'x', 'ok']]);
  const first = await toolbox.post('/files/bulk-upload', bulk.body, bulk.headers);
  expect([first.status, first.json.errors]).toEqual([400, [`no space left on device: ${disk}/a`]]);
  expect(first.json.files).toEqual([{ path: 'ok', bytes: 2 }]);

  const raw = await toolbox.post('/files/upload-v2?path=disk/b', content, { 'Content-Type': 'x/y' });
  expect([raw.status, raw.json.message]).toEqual([400, `no space left on device: ${disk}/b`]);

  writeFileSync(join(toolbox.dir, 'big'), content);
  const moved = await toolbox.post('/files/move?source=big&destination=disk/big');
  expect(moved.status).toBe(400);
  expect(readFileSync(join(toolbox.dir, 'big')).length).toBe(content.length);

  rmSync(`${disk}/a`);
  rmSync(`${disk}/b`, { force: true });
  writeFileSync(`${disk}/text`, 'ab'.repeat(300_000));
  const replaced = await toolbox.post('/files/replace', { files: ['disk/text'], pattern: 'a', newValue: 'aaaa' });
  expect(replaced.json).toEqual([{ file: 'disk/text', success: false, error: 'no space left on device: disk/text' }]);
  expect(readFileSync(`${disk}/text`, 'utf8')).toBe('ab'.repeat(300_000));

  expect((await toolbox.exec('echo still', { cwd: 'disk' })).json.result).toBe('still\n');
});
