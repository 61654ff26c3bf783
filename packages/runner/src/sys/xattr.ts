import koffi from 'koffi';
import { SysError, errnoName } from './sys-error.ts';
import { declare } from './libc.ts';

const lgetxattr = declare('long lgetxattr(const char* path, const char* name, _Out_ void* value, unsigned long size)');

/** The marks that are read are this short; a longer value is somebody else's. */
const MAX_BYTES = 256;

/** Value of an extended attribute of the file itself, not of what a link names; null: it has none. */
export function getXattr(path: string, name: string): Buffer | null {
  const value = Buffer.alloc(MAX_BYTES);
  const length = Number(lgetxattr(path, name, value, value.length));
  if (length >= 0) return value.subarray(0, length);
  const errno = koffi.errno();
  if (['ENODATA', 'EOPNOTSUPP', 'ENOTSUP', 'ERANGE'].includes(errnoName(errno))) return null;
  throw new SysError('lgetxattr', errno, path);
}
