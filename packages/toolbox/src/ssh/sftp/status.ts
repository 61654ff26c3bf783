import { errnoOf } from '../../errors.ts';
import { Malformed, number, packet, string, TYPE } from './packet.ts';

export const STATUS = { ok: 0, eof: 1, noSuchFile: 2, permissionDenied: 3, failure: 4, badMessage: 5, unsupported: 8 } as const;

/** A reply that is decided already. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Version 3 has names for few of them; the words say what it was. */
const ERRNO: Readonly<Record<string, readonly [status: number, words: string]>> = {
  ENOENT: [STATUS.noSuchFile, 'No such file'],
  ENOTDIR: [STATUS.noSuchFile, 'Not a directory'],
  ELOOP: [STATUS.noSuchFile, 'Too many levels of symbolic links'],
  EACCES: [STATUS.permissionDenied, 'Permission denied'],
  EPERM: [STATUS.permissionDenied, 'Operation not permitted'],
  EROFS: [STATUS.permissionDenied, 'Read-only file system'],
  EBADF: [STATUS.failure, 'Bad file descriptor'],
  EEXIST: [STATUS.failure, 'File already exists'],
  ENOTEMPTY: [STATUS.failure, 'Directory not empty'],
  EISDIR: [STATUS.failure, 'Is a directory'],
  ENAMETOOLONG: [STATUS.badMessage, 'File name too long'],
  ENOSPC: [STATUS.failure, 'No space left on device'],
  EDQUOT: [STATUS.failure, 'Disk quota exceeded'],
  EMFILE: [STATUS.failure, 'Too many open files'],
  EXDEV: [STATUS.failure, 'Cross-device link'],
};

export function status(id: number, code: number, words: string): Buffer {
  return packet(TYPE.status, id, number(code), string(words), string('en'));
}

export function statusOf(id: number, error: unknown): Buffer {
  if (error instanceof Refusal) return status(id, error.status, error.message);
  if (error instanceof Malformed) return status(id, STATUS.badMessage, error.message);
  const errno = errnoOf(error) ?? '';
  const [code, words] = ERRNO[errno] ?? [STATUS.failure, errno === '' ? 'Failure' : `Failure (${errno})`];
  return status(id, code, words);
}
