import { check, declare } from './libc.ts';

const mknod = declare('int mknod(const void* path, unsigned int mode, unsigned long device)');
const lsetxattr = declare('int lsetxattr(const void* path, const char* name, const void* value, unsigned long size, int flags)');

/** mknod(2) of a fifo or of the device 0:0, which is overlayfs' whiteout. @param path bytes, one to a character */
export function makeNode(path: string, mode: number): void {
  check(mknod(cString(path), mode, 0), 'mknod', path);
}

/** @param path bytes, one to a character, relative to the root; the file itself, not what a link names */
export function setXattrAt(path: string, name: string, value: Buffer): void {
  check(lsetxattr(cString(`/${path}`), name, value.length === 0 ? Buffer.alloc(1) : value, value.length, 0), 'lsetxattr', path);
}

function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'latin1');
}
