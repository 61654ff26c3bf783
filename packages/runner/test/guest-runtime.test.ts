import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GUEST_MOUNT, layoutOf } from '@paddock/contract';
import { buildToolbox } from '../../toolbox/build.ts';
import type { GuestRuntime } from '../src/engine/launcher.ts';
import { collectGuests, prepareGuest } from '../src/guest/index.ts';
import { MS, bindMount, mount, unmountAll } from '../src/sys/index.ts';

const DIST = new URL('../../../dist/guest', import.meta.url).pathname;

describe('the guest runtime', () => {
  const dir = mkdtempSync(join(tmpdir(), 'paddock-guest-'));
  const layout = layoutOf(join(dir, 'data'), join(dir, 'run'));
  /** A root file system with nothing in it but the runtime: no libc, no shell. */
  const root = join(dir, 'root');
  const mounted = join(root, GUEST_MOUNT);
  let guest: GuestRuntime;
  const before = process.umask();

  beforeAll(async () => {
    if (!existsSync(join(DIST, 'koffi.node'))) await buildToolbox(DIST);
    process.umask(0o077);
    guest = await prepareGuest(layout);
    mkdirSync(mounted, { recursive: true, mode: 0o755 });
    mkdirSync(join(root, 'proc'));
    bindMount(guest.dir, mounted);
    mount(null, mounted, null, MS.BIND | MS.REMOUNT | MS.RDONLY | MS.NOSUID | MS.NODEV);
    mount('proc', join(root, 'proc'), 'proc');
    for (const path of [root, join(root, 'usr'), join(root, 'usr/lib')]) execFileSync('chmod', ['755', path]);
  });

  afterAll(() => {
    process.umask(before);
    unmountAll(mounted);
    unmountAll(join(root, 'proc'));
    rmSync(dir, { recursive: true, force: true });
  });

  /** As a user who is not root, like the toolbox. */
  const inside = (...command: string[]): string =>
    execFileSync('chroot', ['--userspec=1000:1000', root, ...command], { encoding: 'utf8', env: { PATH: process.env['PATH'] ?? '' }, cwd: '/' });

  it('runs Node in a root file system without any libc', () => {
    const { toolbox } = guest.commands;
    const node = toolbox.slice(0, toolbox.findIndex((word) => word.endsWith('/node')) + 1);
    expect(inside(...node, '-p', 'process.version')).toBe(`${process.version}\n`);
  });

  it('has a node that programs can start by one path', () => {
    expect(inside(`${GUEST_MOUNT}/bin/node`, '-p', '[1, 2].map((n) => n * 2).join()')).toBe('2,4\n');
    expect(inside(`${GUEST_MOUNT}/bin/node`, '-e', 'process.stdout.write(process.argv[1])', 'a b')).toBe('a b');
  });

  it('loads the native part of the toolbox without any libc', () => {
    const load = `const m={exports:{}};process.dlopen(m,'${GUEST_MOUNT}/koffi.node');console.log(m.exports.load('libc.so.6').func('int getuid()')())`;
    expect(inside(`${GUEST_MOUNT}/bin/node`, '-e', load)).toBe('1000\n');
  });

  it('has a static init and a static shell', () => {
    expect(inside(guest.commands.tini, '--', guest.commands.busybox, 'echo', 'up')).toBe('up\n');
  });

  it('has a toolbox that parses', () => {
    expect(inside(`${GUEST_MOUNT}/bin/node`, '--check', `${GUEST_MOUNT}/toolbox.cjs`)).toBe('');
  });

  it('brings language servers that run there', () => {
    expect(inside(`${GUEST_MOUNT}/lsp/typescript/lib/tsc`, '--version')).toMatch(/^Version 7\./);
    expect(inside(`${GUEST_MOUNT}/bin/node`, '--check', `${GUEST_MOUNT}/lsp/pyright/langserver.index.js`)).toBe('');
    for (const file of ['pyright/dist/pyright-langserver.js', 'pyright/dist/typeshed-fallback/stdlib/builtins.pyi', 'typescript/lib/lib.d.ts']) expect(existsSync(join(guest.dir, 'lsp', file))).toBe(true);
  });

  it('can be read by everybody and changed by nobody but root', () => {
    for (const file of readdirSync(guest.dir, { recursive: true, encoding: 'utf8' })) {
      const { uid, mode } = statSync(join(guest.dir, file));
      expect(uid).toBe(0);
      expect(mode & 0o022).toBe(0);
      expect(mode & 0o044).toBe(0o044);
    }
  });

  it('is laid out once for the same content', async () => {
    const { ino } = statSync(guest.dir);
    expect((await prepareGuest(layout)).dir).toBe(guest.dir);
    expect(statSync(guest.dir).ino).toBe(ino);
  });

  it('keeps versions in use and removes the others and what was left half-done', async () => {
    for (const name of ['0123456789abcdef', 'fedcba9876543210', `${guest.version}.new-1`]) mkdirSync(join(layout.guestDir, name));
    await collectGuests(layout, new Set([guest.version, 'fedcba9876543210']));
    expect(readdirSync(layout.guestDir).sort()).toEqual([guest.version, 'fedcba9876543210'].sort());
  });
});
