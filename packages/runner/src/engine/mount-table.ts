import { closeSync, constants, openSync } from 'node:fs';
import { O_PATH, asFs, check, declare, errorCode, openInRoot } from '../sys/index.ts';

const cSymlinkat = declare('int symlinkat(const char* target, int dfd, const char* name)');

const DIRECTORY = O_PATH | constants.O_DIRECTORY;

/** Images need not have it, as container engines make it: an image with another one, or without `/etc`, keeps what it has. */
const KEPT = new Set(['EEXIST', 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EDQUOT', 'ENOSPC']);

/**
 * Makes `/etc/mtab` where a sandbox's root lacks it. `fusermount3 -u` and `mount` of older distributions need it.
 * @param root mounted root that no process has entered yet @param idBase host id of the sandbox's root
 */
export function linkMountTable(root: string, idBase: number): void {
  const rootFd = openSync(root, DIRECTORY);
  try {
    asFs(idBase, () => {
      const etc = openInRoot(rootFd, '/etc', DIRECTORY);
      try {
        check(cSymlinkat('../proc/self/mounts', etc, 'mtab'), 'symlinkat', 'mtab');
      } finally {
        closeSync(etc);
      }
    });
  } catch (error) {
    if (!KEPT.has(errorCode(error) ?? '')) throw error;
  } finally {
    closeSync(rootFd);
  }
}
