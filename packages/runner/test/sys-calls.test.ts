import { closeSync, constants, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MS, SysError, asFs, bindMount, errorCode, listMounts, mount, mountAt, openInRoot, unmountAll } from '../src/sys/index.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'paddock-sys-'));
});

afterEach(() => {
  for (const point of listMounts().reverse()) if (point.target.startsWith(dir)) unmountAll(point.target);
  rmSync(dir, { recursive: true, force: true });
});

describe('system calls', () => {
  it('mounts, lists and unmounts', () => {
    const target = join(dir, 'a b');
    mkdirSync(target);
    mount('paddock', target, 'tmpfs', MS.NOSUID | MS.NODEV, 'size=1m,mode=0700');
    expect(mountAt(target)).toMatchObject({ type: 'tmpfs', target });
    expect(mountAt(target)!.options).toContain('nosuid');
    expect(statSync(target).mode & 0o777).toBe(0o700);
    expect(unmountAll(target)).toBe(true);
    expect(unmountAll(target)).toBe(false);
    expect(mountAt(target)).toBeNull();
  });

  it('bind-mounts one file over another', () => {
    writeFileSync(join(dir, 'from'), 'x');
    writeFileSync(join(dir, 'to'), '');
    bindMount(join(dir, 'from'), join(dir, 'to'));
    expect(readFileSync(join(dir, 'to'), 'utf8')).toBe('x');
  });

  it('names the call, the path and the errno of a failure', () => {
    const target = join(dir, 'absent');
    let caught: unknown;
    try {
      mount('x', target, 'tmpfs');
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(SysError);
    expect(errorCode(caught)).toBe('ENOENT');
    expect(String(caught)).toBe(`SysError: mount ${target}: ENOENT`);
  });

  it('makes files under another id and comes back, also after an exception', () => {
    asFs(70_000, () => writeFileSync(join(dir, 'theirs'), ''));
    expect(() => asFs(70_000, () => { throw new Error('inside'); })).toThrow('inside');
    writeFileSync(join(dir, 'ours'), '');
    expect(statSync(join(dir, 'theirs'))).toMatchObject({ uid: 70_000, gid: 70_000 });
    expect(statSync(join(dir, 'ours'))).toMatchObject({ uid: 0, gid: 0 });
  });

  it('resolves symlinks and .. inside the given root', () => {
    mkdirSync(join(dir, 'root/etc'), { recursive: true });
    writeFileSync(join(dir, 'outside'), 'secret');
    writeFileSync(join(dir, 'root/outside'), 'inside');
    symlinkSync('../../outside', join(dir, 'root/etc/up'));
    symlinkSync(join(dir, 'outside'), join(dir, 'root/etc/absolute'));
    const root = openSync(join(dir, 'root'), constants.O_RDONLY);
    try {
      const fd = openInRoot(root, 'etc/up', constants.O_RDONLY);
      expect(readFileSync(fd, 'utf8')).toBe('inside');
      closeSync(fd);
      expect(() => openInRoot(root, 'etc/absolute', constants.O_RDONLY)).toThrow('ENOENT');
    } finally {
      closeSync(root);
    }
  });
});
