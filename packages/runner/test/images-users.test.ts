import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseUsers, readAccounts, readUsers, runAs } from '../src/images/index.ts';
import { setXattrAt } from '../src/sys/index.ts';

const ROOT = { uid: 0, gid: 0, home: '/root', groups: [] };

describe('users of an image', () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'paddock-users-'));
    for (const layer of ['top', 'bottom']) mkdirSync(join(dir, layer, 'etc'), { recursive: true });
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const layers = (): string[] => [join(dir, 'top'), join(dir, 'bottom')];

  it('come from the lines of passwd and group', () => {
    const users = parseUsers('root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/bash\n', 'sudo:x:27:ann,bob\nwheel:x:28:ann\n');
    expect({ ...users }).toEqual({ root: ROOT, ann: { uid: 1000, gid: 1001, home: '/home/ann', groups: [27, 28] } });
  });

  it('skips lines that are wrong, and ids a sandbox does not have', () => {
    const text = ['short:x:1', 'minus:x:-1:0::/:', 'large:x:65536:0::/:', 'hex:x:0x10:0::/:', ':x:5:5::/:', 'ok:x:65535:65534:::', 'ok:x:1:1::/second:'];
    expect({ ...parseUsers(text.join('\n'), 'sudo:x:-1:ok\nbad:x:70000:ok\n') }).toEqual({ root: ROOT, ok: { uid: 65535, gid: 65534, home: '/', groups: [] } });
  });

  it('has no user for a name that objects have', () => {
    const users = parseUsers('', '');
    for (const name of ['constructor', '__proto__', 'toString']) expect(users[name]).toBeUndefined();
    expect(parseUsers('__proto__:x:5:5::/:', '')['__proto__']).toMatchObject({ uid: 5 });
  });

  it('come from the topmost layer that has the file', () => {
    writeFileSync(join(dir, 'bottom/etc/passwd'), 'low:x:1:1::/:\n');
    expect(readUsers(layers())['low']).toBeDefined();
    writeFileSync(join(dir, 'top/etc/passwd'), 'high:x:2:2::/:\n');
    expect(readUsers(layers())['low']).toBeUndefined();
    expect(readUsers(layers())['high']).toBeDefined();
  });

  it('ends at a whiteout', () => {
    writeFileSync(join(dir, 'bottom/etc/passwd'), 'low:x:1:1::/:\n');
    execFileSync('mknod', [join(dir, 'top/etc/passwd'), 'c', '0', '0']);
    expect({ ...readUsers(layers()) }).toEqual({ root: ROOT });
  });

  it('never come from a file outside of the image', () => {
    writeFileSync(join(dir, 'passwd'), 'outside:x:1:1::/:\n');
    for (const target of ['../../passwd', join(dir, 'passwd'), '../../../../../../../../../../etc/passwd', '/proc/self/root/etc/passwd']) {
      rmSync(join(dir, 'top/etc/passwd'), { force: true });
      symlinkSync(target, join(dir, 'top/etc/passwd'));
      expect({ ...readUsers([join(dir, 'top')]) }, target).toEqual({ root: ROOT });
    }
    rmSync(join(dir, 'top/etc'), { recursive: true });
    symlinkSync('..', join(dir, 'top/etc'));
    expect({ ...readUsers([join(dir, 'top')]) }).toEqual({ root: ROOT });
  });

  it('follow a link that stays inside', () => {
    writeFileSync(join(dir, 'top/users'), 'inside:x:1:1::/:\n');
    symlinkSync('/users', join(dir, 'top/etc/passwd'));
    expect(readUsers(layers())['inside']).toBeDefined();
  });

  it('follow a link into another layer, as the overlay will', () => {
    mkdirSync(join(dir, 'bottom/store'));
    writeFileSync(join(dir, 'bottom/store/passwd'), 'stored:x:1:1::/:\n');
    writeFileSync(join(dir, 'bottom/etc/passwd'), 'low:x:2:2::/:\n');
    symlinkSync('../store/passwd', join(dir, 'top/etc/passwd'));
    expect(Object.keys(readUsers(layers())).sort()).toEqual(['root', 'stored']);
  });

  it('are not those below an opaque directory, a whiteout of the directory, or a file in its place', () => {
    writeFileSync(join(dir, 'bottom/etc/passwd'), 'low:x:1:1::/:\n');
    setXattrAt(join(dir, 'top/etc'), 'trusted.overlay.opaque', Buffer.from('y'));
    expect({ ...readUsers(layers()) }).toEqual({ root: ROOT });
    rmSync(join(dir, 'top/etc'), { recursive: true });
    expect(readUsers(layers())['low']).toBeDefined();
    execFileSync('mknod', [join(dir, 'top/etc'), 'c', '0', '0']);
    expect({ ...readUsers(layers()) }).toEqual({ root: ROOT });
    rmSync(join(dir, 'top/etc'));
    writeFileSync(join(dir, 'top/etc'), 'a file');
    expect({ ...readUsers(layers()) }).toEqual({ root: ROOT });
  });

  it('are not looked for in circles', () => {
    symlinkSync('passwd', join(dir, 'top/etc/passwd'));
    expect({ ...readUsers(layers()) }).toEqual({ root: ROOT });
    rmSync(join(dir, 'top/etc'), { recursive: true });
    symlinkSync('etc/etc', join(dir, 'top/etc'));
    expect({ ...readUsers(layers()) }).toEqual({ root: ROOT });
  });

  describe('as USER names them', () => {
    const accounts = () => {
      writeFileSync(join(dir, 'top/etc/passwd'), 'root:x:0:0::/root:\nann:x:1000:1001::/home/ann:\n');
      writeFileSync(join(dir, 'top/etc/group'), 'staff:x:50:\nsudo:x:27:ann\n');
      return readAccounts(layers());
    };

    it.each<[string | null, object | null]>([
      ['ann', { name: 'ann', uid: 1000, gid: 1001, home: '/home/ann', groups: [27] }], ['1000', { name: 'ann', uid: 1000, gid: 1001 }], ['ann:staff', { uid: 1000, gid: 50 }], ['ann:7', { uid: 1000, gid: 7 }],
      ['4000', { name: '4000', uid: 4000, gid: 0, home: '/', groups: [] }], ['4000:4001', { uid: 4000, gid: 4001 }], ['', { name: 'root', uid: 0 }], [null, { name: 'root', uid: 0 }], ['ann:', { gid: 1001 }],
      ['bob', null], ['ann:nobody', null], ['65536', null], ['-1', null], ['__proto__', null], ['ann:constructor', null], ['1e3', null], [' ann', null],
    ])('%j', (user, expected) => {
      if (expected === null) expect(runAs(user, accounts())).toBeNull();
      else expect(runAs(user, accounts())).toMatchObject(expected);
    });

    it('is daytona where nobody is named and there is one', () => {
      writeFileSync(join(dir, 'top/etc/passwd'), 'daytona:x:1000:1000::/home/daytona:\n');
      expect(runAs(null, readAccounts(layers()))).toMatchObject({ name: 'daytona', uid: 1000 });
    });
  });

  it('are not waited for and take little memory', () => {
    execFileSync('mkfifo', [join(dir, 'top/etc/passwd')]);
    writeFileSync(join(dir, 'top/etc/group'), '');
    truncateSync(join(dir, 'top/etc/group'), 2 ** 40);
    expect({ ...readUsers(layers()) }).toEqual({ root: ROOT });
  });
});
