import { closeSync, constants, openSync } from 'node:fs';
import { declareInBackground } from './libc.ts';
import { SysError } from './sys-error.ts';

const syncfs = declareInBackground('int syncfs(int fd)');

/** Writes everything of the file system that holds the directory to its device, in a thread of the pool. */
export async function syncFileSystemOf(dir: string): Promise<void> {
  const fd = openSync(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const { value, errno } = await syncfs(fd);
    if (value < 0) throw new SysError('syncfs', errno, dir);
  } finally {
    closeSync(fd);
  }
}
