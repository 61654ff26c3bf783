import { lstat, realpath } from 'node:fs/promises';
import { errnoOf } from '../../errors.ts';
import { homeDir, workDir } from '../../environment/places.ts';
import type { Reader } from './packet.ts';
import { Refusal, STATUS } from './status.ts';

/** Paths are bytes, as the kernel has them: a name that is no UTF-8 can be listed, fetched and removed like any other. */

const SLASH = 0x2f;

/** The next field as an absolute path. Relative ones begin where shells do. */
export function pathOf(reader: Reader): Buffer {
  return absolute(reader.string());
}

export function absolute(path: Buffer): Buffer {
  if (path.includes(0)) throw new Refusal(STATUS.noSuchFile, 'No such file');
  if (path[0] === SLASH) return Buffer.from(path);
  return join(Buffer.from(workDir), path);
}

/** `~` and `~/…` are the user's home; other users have none here. */
export function expanded(path: Buffer): Buffer {
  if (path[0] !== 0x7e || (path.length > 1 && path[1] !== SLASH)) return absolute(path);
  return join(Buffer.from(homeDir), path.subarray(2));
}

export function join(folder: Buffer, name: Buffer): Buffer {
  return name.length === 0 ? folder : Buffer.concat([folder, Buffer.from('/'), name]);
}

/** The canonical path. Its last part need not exist: clients ask for the path of what they are about to make. */
export async function canonical(path: Buffer): Promise<Buffer> {
  try {
    return await realpath(path, 'buffer') as Buffer;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    const bare = withoutTrailingSlashes(path);
    // A link that leads nowhere is there all the same.
    if (await lstat(bare).then(() => true, () => false)) throw error;
    const cut = bare.lastIndexOf(SLASH);
    const parent = await realpath(cut <= 0 ? '/' : bare.subarray(0, cut), 'buffer') as Buffer;
    return parent.length === 1 ? Buffer.concat([parent, bare.subarray(cut + 1)]) : join(parent, bare.subarray(cut + 1));
  }
}

function withoutTrailingSlashes(path: Buffer): Buffer {
  let end = path.length;
  while (end > 1 && path[end - 1] === SLASH) end--;
  return path.subarray(0, end);
}
