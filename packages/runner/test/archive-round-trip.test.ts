import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, linkSync, lstatSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DiskBlobs } from '@paddock/store';
import { readWhole } from '../src/archives/objects.ts';
import { findPacked, pack } from '../src/archives/pack.ts';
import { readManifest, unpack } from '../src/archives/unpack.ts';
import { check, declare, getXattr } from '../src/sys/index.ts';

const ID = '11111111-1111-4111-8111-111111111111';
const lsetxattr = declare('int lsetxattr(const char* path, const char* name, const void* value, size_t size, int flags)');
const setXattr = (path: string, name: string, value: Buffer): void => void check(lsetxattr(path, name, value, value.length, 0), 'lsetxattr', path);
/** Version 2: owner rwx, user 33 rwx, group and others r-x, mask rwx. */
const ACL = Buffer.from('02000000' + '01000700ffffffff' + '0200070021000000' + '04000500ffffffff' + '10000700ffffffff' + '20000500ffffffff', 'hex');
const never = new AbortController().signal;

describe('an archive', () => {
  let dir: string;
  let blobs: DiskBlobs;
  let upper: string;
  let back: string;

  beforeEach(() => {
    // On the disk: /tmp may be a tmpfs without user attributes.
    dir = mkdtempSync('/var/tmp/paddock-archive-');
    blobs = new DiskBlobs(join(dir, 'blobs'));
    [upper, back] = [join(dir, 'upper'), join(dir, 'back')];
    for (const path of [upper, back]) mkdirSync(path);
  });

  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const packed = (signal = never) => pack({ sandboxId: ID, image: 'slim', upper, allowanceBytes: 7, blobs, signal, onProgress: () => undefined });
  const restore = async (digest: string) => unpack(blobs, await readManifest(blobs, ID, digest), back, never, () => undefined);

  it('brings back all that an overlay\'s upper directory can have', async () => {
    mkdirSync(join(upper, 'dir'), { mode: 0o2751 });
    writeFileSync(join(upper, 'dir/file'), 'text', { mode: 0o640 });
    execFileSync('chown', ['1000:65534', join(upper, 'dir/file')]);
    linkSync(join(upper, 'dir/file'), join(upper, 'hard'));
    symlinkSync('/etc/passwd', join(upper, 'outside'));
    symlinkSync('../../../..', join(upper, 'dir/up'));
    execFileSync('mknod', [join(upper, 'whiteout'), 'c', '0', '0']);
    execFileSync('mkfifo', [join(upper, 'fifo')]);
    mkdirSync(join(upper, 'opaque'));
    setXattr(join(upper, 'opaque'), 'trusted.overlay.opaque', Buffer.from('y'));
    setXattr(join(upper, 'opaque'), 'trusted.overlay.origin', Buffer.from('of this pool'));
    writeFileSync(join(upper, 'sgid'), '', { mode: 0o2770 });
    writeFileSync(join(upper, 'program'), '#!/bin/sh\n', { mode: 0o755 });
    execFileSync('chmod', ['4755', join(upper, 'program')]);
    // cap_net_raw+ep, version 2
    setXattr(join(upper, 'program'), 'security.capability', Buffer.from('0100000200200000000000000000000000000000', 'hex'));
    setXattr(join(upper, 'dir/file'), 'user.note', Buffer.from('kept'));
    setXattr(join(upper, 'dir'), 'system.posix_acl_default', ACL);
    setXattr(join(upper, 'sgid'), 'system.posix_acl_access', ACL);
    const odd = join(upper, `new\nline "quoted" ü \\ ${'x'.repeat(180)}`);
    writeFileSync(odd, '');
    const sparse = openSync(join(upper, 'sparse'), 'w');
    ftruncateSync(sparse, 1024 ** 3);
    writeSync(sparse, 'end', 1024 ** 3 - 3);
    closeSync(sparse);
    execFileSync('touch', ['--no-dereference', '--date', '2001-02-03 04:05:06.123456789', join(upper, 'dir/file'), join(upper, 'outside')]);
    execFileSync('touch', ['--date', '2002-02-03 04:05:06.123456789', join(upper, 'dir')]);
    execFileSync('chmod', ['711', upper]);

    const { sha256, storedBytes } = await packed();
    expect(storedBytes).toBeLessThan(1024 ** 2);
    await restore(sha256);

    expect(listing(back)).toEqual(listing(upper));
    expect(statSync(join(back, 'hard')).ino).toBe(statSync(join(back, 'dir/file')).ino);
    expect(statSync(join(back, 'sparse')).blocks * 512).toBeLessThan(1024 ** 2);
    expect(readFileSync(join(back, 'sparse')).subarray(-3).toString()).toBe('end');
    expect(getXattr(join(back, 'opaque'), 'trusted.overlay.opaque')?.toString()).toBe('y');
    expect(getXattr(join(back, 'opaque'), 'trusted.overlay.origin')).toBeNull();
    expect(getXattr(join(back, 'program'), 'security.capability')).toEqual(getXattr(join(upper, 'program'), 'security.capability'));
    expect(getXattr(join(back, 'dir/file'), 'user.note')?.toString()).toBe('kept');
    expect([getXattr(join(back, 'dir'), 'system.posix_acl_default'), getXattr(join(back, 'sgid'), 'system.posix_acl_access')]).toEqual([ACL, ACL]);
    const tar = zstdDecompressSync((await readWhole(blobs, 'piece-000000.tar.zst'))!);
    expect(tar.includes('www-data')).toBe(false); // what this host calls 33, another calls otherwise
    expect((await readManifest(blobs, ID, sha256)).allowanceBytes).toBe(7);
  });

  it('of paths that could not be made again is refused, and nothing is left of it', async () => {
    execFileSync('python3', ['-c', `import os\nos.chdir(${JSON.stringify(upper)})\nfor i in range(25):\n os.mkdir('d' * 160); os.chdir('d' * 160)\nopen('f' * 100, 'w')`]);
    await expect(packed()).rejects.toMatchObject({ code: 'INVALID_SPEC', message: expect.stringMatching(/^A path is longer than 4000 bytes .*: \/dddd/) });
    expect(await blobs.head('manifest.json')).toBeNull();
    execFileSync('sh', ['-c', `cd ${upper} && mv d* e`]);
    await restore((await packed()).sha256);
    expect(listing(back)).toEqual(listing(upper));
  });

  it('of an empty disk is one too', async () => {
    const { sha256 } = await packed();
    await restore(sha256);
    expect(readdirSync(back)).toEqual([]);
  });

  it('of several pieces is put together in order', async () => {
    execFileSync('sh', ['-c', `head -c 70000000 /dev/urandom > ${join(upper, 'data')}`]);
    const { sha256, diskBytes } = await packed();
    expect(diskBytes).toBeGreaterThan(70_000_000);
    await restore(sha256);
    execFileSync('cmp', [join(upper, 'data'), join(back, 'data')]);
  });

  it('that is whole is found and not made again; one without its end is', async () => {
    writeFileSync(join(upper, 'f'), 'x');
    expect(await findPacked(blobs, ID)).toBeNull();
    const summary = await packed();
    expect(await findPacked(blobs, ID)).toEqual(summary);
    await blobs.remove('piece-000000.tar.zst');
    expect(await findPacked(blobs, ID)).toBeNull();
    expect((await packed()).diskBytes).toBe(summary.diskBytes);
  });

  it('that was tampered with, damaged or is incomplete is refused in words', async () => {
    writeFileSync(join(upper, 'f'), 'x');
    const { sha256 } = await packed();
    await expect(restore('0'.repeat(64))).rejects.toThrow('its manifest is not the one');
    const { Readable } = await import('node:stream');
    const piece = await blobs.head('piece-000000.tar.zst');
    await blobs.put('piece-000000.tar.zst', Readable.from([Buffer.alloc(piece!.size)]));
    await expect(restore(sha256)).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED', message: expect.stringContaining('piece-000000') });
    await blobs.remove('piece-000000.tar.zst');
    await expect(restore(sha256)).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED', message: expect.stringContaining('missing') });
    await blobs.remove('manifest.json');
    await expect(restore(sha256)).rejects.toThrow('not in the object store');
  });

  it('that is given up on ends tar and has no manifest', async () => {
    execFileSync('sh', ['-c', `head -c 200000000 /dev/urandom > ${join(upper, 'data')}`]);
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('changed my mind')), 50);
    await expect(packed(stop.signal)).rejects.toThrow('changed my mind');
    expect(await blobs.head('manifest.json')).toBeNull();
  });
});

/** Every name with type, mode, owner, size, links and time in nanoseconds. */
function listing(dir: string): string[] {
  const walk = (path: string): string[] => {
    const { mode, uid, gid, size, nlink, rdev, mtimeNs } = lstatSync(path, { bigint: true });
    const isDirectory = lstatSync(path).isDirectory();
    const line = [path.slice(dir.length), mode.toString(8), uid, gid, isDirectory ? '' : size, nlink, rdev, mtimeNs].join(' ');
    return isDirectory ? [line, ...readdirSync(path).sort().flatMap((name) => walk(join(path, name)))] : [line];
  };
  return walk(dir);
}
