import koffi from 'koffi';
import { SysError, errnoName } from './sys-error.ts';
import { declare } from './libc.ts';

const lgetxattr = declare('long lgetxattr(const void* path, const char* name, _Out_ void* value, unsigned long size)');
const llistxattr = declare('long llistxattr(const void* path, _Out_ void* list, unsigned long size)');

/** The marks that are read are this short; a longer value is somebody else's. */
const MAX_BYTES = 256;

/** `XATTR_SIZE_MAX` and `XATTR_LIST_MAX`: the kernel passes on no more, although btrfs may hold longer lists. */
const WHOLE_BYTES = 64 * 1024;

/** Value of an extended attribute of the file itself, not of what a link names; null: it has none. */
export function getXattr(path: string, name: string): Buffer | null {
  const value = Buffer.alloc(MAX_BYTES);
  const length = Number(lgetxattr(Buffer.from(`${path}\0`), name, value, value.length));
  if (length >= 0) return value.subarray(0, length);
  const errno = koffi.errno();
  if (['ENODATA', 'EOPNOTSUPP', 'ENOTSUP', 'ERANGE'].includes(errnoName(errno))) return null;
  throw new SysError('lgetxattr', errno, path);
}

/** All extended attributes of the file itself, by name. @param path bytes, one to a character */
export function readXattrs(path: string): ReadonlyMap<string, Buffer> {
  const at = Buffer.from(`${path}\0`, 'latin1');
  const buffer = Buffer.alloc(WHOLE_BYTES);
  const length = Number(llistxattr(at, buffer, buffer.length));
  if (length < 0) throw new SysError('llistxattr', koffi.errno(), path);
  const found = new Map<string, Buffer>();
  for (const name of buffer.toString('latin1', 0, length).split('\0').slice(0, -1)) {
    const size = Number(lgetxattr(at, name, buffer, buffer.length));
    if (size < 0) throw new SysError('lgetxattr', koffi.errno(), path);
    found.set(name, Buffer.from(buffer.subarray(0, size)));
  }
  return found;
}
