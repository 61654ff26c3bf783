/** The directory that every sandbox sees read-only at GUEST_MOUNT: Node with its own loader, init, and the toolbox. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, chmod, copyFile, mkdir, open, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { GUEST_MOUNT, type Layout } from '@paddock/contract';
import { TOOLBOX_NODE_FLAGS, TOOLBOX_PROCESS_ENV } from '@paddock/toolbox';
import type { GuestRuntime } from '../engine/launcher.ts';
import { guestFiles, type GuestFile } from './files.ts';

/** Length of a version: 64 bits of the hash of all content. */
const VERSION_DIGITS = 16;

/**
 * Copies the runtime into `<guestDir>/<version>` unless it is there. The version is a hash over the content, so a running
 * sandbox keeps the files it was started with whatever is installed later. Written under another name first: a directory with
 * a version for a name is complete.
 */
export async function prepareGuest(layout: Layout): Promise<GuestRuntime> {
  const files = guestFiles();
  const version = await versionOf(files);
  const dir = join(layout.guestDir, version);
  if (!(await exists(dir))) {
    const unfinished = `${dir}.new-${process.pid}`;
    await rm(unfinished, { recursive: true, force: true });
    await write(files, unfinished);
    await rename(unfinished, dir).catch(async (error: NodeJS.ErrnoException) => {
      await rm(unfinished, { recursive: true, force: true });
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  }
  return {
    dir,
    version,
    commands: {
      tini: `${GUEST_MOUNT}/tini`,
      busybox: `${GUEST_MOUNT}/busybox`,
      toolbox: [
        `${GUEST_MOUNT}/lib/ld.so`, '--library-path', `${GUEST_MOUNT}/lib`, `${GUEST_MOUNT}/node`, ...TOOLBOX_NODE_FLAGS, `${GUEST_MOUNT}/toolbox.cjs`,
      ],
      env: TOOLBOX_PROCESS_ENV,
    },
  };
}

/** Removes versions no sandbox was started with, and unfinished ones. */
export async function collectGuests(layout: Layout, inUse: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(layout.guestDir).catch(() => [])) {
    if (!inUse.has(name)) await rm(join(layout.guestDir, name), { recursive: true, force: true });
  }
}

async function versionOf(files: readonly GuestFile[]): Promise<string> {
  const hash = createHash('sha256');
  for (const { to, mode, from } of files) {
    hash.update(`${to}\0${mode}\0`);
    if ('text' in from) hash.update(from.text);
    else if (from.release !== undefined) hash.update(from.release);
    else if ((await stat(from.file)).size < LARGE_BYTES) hash.update(await readFile(from.file));
    else hash.update(JSON.stringify(await identityOf(from.file)));
  }
  return hash.digest('hex').slice(0, VERSION_DIGITS);
}

/** Node's binary has over 100 MB: reading it at each start would cost more than the rest of the start. Size and time name it well enough. */
const LARGE_BYTES = 32 * 1024 * 1024;

async function identityOf(file: string): Promise<{ size: number; mtimeMs: number }> {
  const { size, mtimeMs } = await stat(file);
  return { size, mtimeMs };
}

/** Files copied and flushed at once: the file system then commits many together. */
const AT_ONCE = 64;

async function write(files: readonly GuestFile[], dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  const folders = new Set(files.flatMap(({ to }) => ancestorsOf(to)));
  for (const folder of ['.', ...[...folders].sort()]) {
    await mkdir(join(dir, folder), { recursive: true });
    await chmod(join(dir, folder), 0o755); // whatever the umask is
  }
  for (let from = 0; from < files.length; from += AT_ONCE) await Promise.all(files.slice(from, from + AT_ONCE).map((file) => writeOne(file, dir)));
}

/** Every folder above a path, the outermost first. */
function ancestorsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === '.' ? [] : [...ancestorsOf(parent), parent];
}

async function writeOne({ to, mode, from }: GuestFile, dir: string): Promise<void> {
  const target = join(dir, to);
  if ('text' in from) await writeFile(target, from.text);
  // A reflink where the file system can: the copy then takes no room and shares the page cache with nothing it should not.
  else await copyFile(from.file, target, constants.COPYFILE_FICLONE);
  await chmod(target, mode);
  await flush(target);
}

/** A directory with a version for a name is complete after a power failure, too. */
async function flush(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}
