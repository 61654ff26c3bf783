/**
 * The two directories of a mount, found by descriptor: the one of the volume that is shown, and the one of the sandbox it is
 * shown at. Both lie in trees that sandboxes write to, also at this very moment.
 */
import { closeSync, constants } from 'node:fs';
import { posix } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Gate } from '../lifecycle/lanes.ts';
import { RunnerError } from '../runner-error.ts';
import { O_PATH, errorCode, makeDirectoryAt, makeDirectoryLater, openBeneath, openBeneathLater, openInRoot } from '../sys/index.ts';
import { ROOT_MODE } from './store.ts';

const DIRECTORY = O_PATH | constants.O_DIRECTORY;

/** Mount points belong to the sandbox's root, like those of an image. */
const MOUNT_POINT_MODE = 0o755;

/** What a hostile or mistaken path ends with, in words. */
const PROBLEMS: Readonly<Record<string, string>> = {
  ELOOP: 'leads through a symbolic link',
  EXDEV: 'leads into another mount',
  ENOTDIR: 'is not a directory',
  ENOENT: 'leads through a link to nowhere',
  ENAMETOOLONG: 'has too long a name in it',
  EACCES: 'cannot be entered',
};

/**
 * Descriptor of a directory of the volume, made when missing; step by step, so that whatever a sandbox puts in the way
 * meanwhile leads nowhere else.
 */
export function openSubpath(volumeFd: number, subpath: string): number {
  let at = volumeFd;
  try {
    for (const name of subpath.split('/')) {
      const next = enter(at, name);
      if (at !== volumeFd) closeSync(at);
      at = next;
    }
    return at;
  } catch (error) {
    if (at !== volumeFd) closeSync(at);
    throw refused(error, `The subpath "${subpath}" of the volume`);
  }
}

function enter(directoryFd: number, name: string): number {
  try {
    return openBeneath(directoryFd, name, DIRECTORY);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
  withUmask(0, () => makeUnlessThere(directoryFd, name, ROOT_MODE));
  return openBeneath(directoryFd, name, DIRECTORY);
}

/**
 * Descriptor of the directory at a path of a sandbox's root, made with all its parents when missing. Links in the path lead
 * where they lead inside the sandbox.
 * @param oneMount refuses paths into anything mounted below the root
 */
export function openMountPoint(rootFd: number, path: string, oneMount: boolean): number {
  try {
    return openOrMake(rootFd, path, oneMount);
  } catch (error) {
    throw refused(error, `The mount path "${path}"`);
  }
}

function openOrMake(rootFd: number, path: string, oneMount: boolean): number {
  try {
    return openInRoot(rootFd, path, DIRECTORY, oneMount);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' || path === '/') throw error;
  }
  const parentFd = openOrMake(rootFd, posix.dirname(path), oneMount);
  try {
    makeUnlessThere(parentFd, posix.basename(path), MOUNT_POINT_MODE);
  } finally {
    closeSync(parentFd);
  }
  return openInRoot(rootFd, path, DIRECTORY, oneMount);
}

function makeUnlessThere(directoryFd: number, name: string, mode: number): void {
  try {
    makeDirectoryAt(directoryFd, name, mode);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
}

/** As long as a start may wait for the store to answer a look-up; the thread that asked goes on waiting. */
const LOOKUP_MS = 15_000;
/** Threads that may wait for stores, of the eight that everything else here shares (main.ts). */
const lookups = new Gate(4);

/**
 * As `openSubpath`, in threads of the pool: the volume's file system may wait for a network.
 * @param volumeFd is closed, at the latest when the thread that uses it is done
 * @param what the path is called in an error
 */
export async function openSubpathLater(volumeFd: number, subpath: string, what = `The subpath "${subpath}" of the volume`): Promise<number> {
  const late = new AbortController();
  const deadline = sleep(LOOKUP_MS, undefined, { signal: late.signal }).then(() => {
    throw new RunnerError('START_FAILED', 'The object store that holds the volume does not answer');
  });
  deadline.catch(() => {}); // also when it is not late
  let at = volumeFd;
  try {
    for (const name of subpath.split('/')) {
      const before = at;
      const entering = lookups.run(async () => {
        late.signal.throwIfAborted();
        return enterLater(before, name);
      });
      const close = (): void => closeSync(before);
      entering.then(close, close);
      at = await Promise.race([entering, deadline]).catch((error: unknown) => {
        entering.then(closeSync, () => {}); // nobody takes it any more
        throw error;
      });
    }
    return at;
  } catch (error) {
    throw refused(error, what);
  } finally {
    late.abort();
  }
}

async function enterLater(directoryFd: number, name: string): Promise<number> {
  try {
    return await openBeneathLater(directoryFd, name, DIRECTORY);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
  await makeDirectoryLater(directoryFd, name, ROOT_MODE).catch((error: unknown) => {
    if (errorCode(error) !== 'EEXIST') throw error;
  });
  return openBeneathLater(directoryFd, name, DIRECTORY);
}

function withUmask(mask: number, run: () => void): void {
  const before = process.umask(mask);
  try {
    run();
  } finally {
    process.umask(before);
  }
}

function refused(error: unknown, what: string): unknown {
  const problem = PROBLEMS[errorCode(error) ?? ''];
  return problem === undefined ? error : new RunnerError('INVALID_SPEC', `${what} ${problem}`, error);
}
