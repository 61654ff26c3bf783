import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BuildSandbox, type BuildSandboxParts } from '../src/builds/build-sandbox.ts';

describe('a result that a hostile build left', () => {
  let disk: string;
  let result: string;
  let sandbox: BuildSandbox;

  beforeEach(() => {
    disk = mkdtempSync('/tmp/paddock-result-');
    result = join(disk, 'upper/paddock/result');
    mkdirSync(result, { recursive: true });
    mkdirSync(join(disk, 'upper/etc'));
    sandbox = new BuildSandbox('x', { disks: { path: () => disk } } as unknown as BuildSandboxParts);
  });
  afterEach(() => rmSync(disk, { recursive: true }));

  it('is read where it is a plain file', () => {
    writeFileSync(join(result, 'config.json'), '{}');
    const { fd, size } = sandbox.openResult('config.json');
    expect([readFileSync(fd, 'utf8'), size]).toEqual(['{}', 2]);
    closeSync(fd);
  });

  it('leads nowhere by a link in place of the file', () => {
    symlinkSync('/etc/passwd', join(result, 'config.json'));
    expect(() => sandbox.openResult('config.json')).toThrow(/ELOOP/);
  });

  it.each(['/etc', '../../../../../../etc', '/proc/self/root/etc'])('leads nowhere by a link to %s in place of a directory', (target) => {
    rmSync(result, { recursive: true });
    symlinkSync(target, result);
    expect(() => sandbox.openResult('passwd')).toThrow(/ENOENT/);
  });

  it.each([
    ['a pipe', () => execFileSync('mkfifo', [join(result, 'config.json')])],
    ['a device', () => execFileSync('mknod', [join(result, 'config.json'), 'c', '1', '5'])],
    ['a directory', () => mkdirSync(join(result, 'config.json'))],
  ])('is refused without waiting where it is %s', (_, make) => {
    make();
    expect(() => sandbox.openResult('config.json')).toThrow(/has no file/);
  });

  it('is refused where it is a socket', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(result, 'config.json'), resolve));
    expect(() => sandbox.openResult('config.json')).toThrow(/ENXIO/);
    server.close();
  });
});
