import fs from 'node:fs';
import { lchown, link, lutimes, rename, statfs } from 'node:fs/promises';
import { promisify } from 'node:util';
import { wantedOf } from './attributes.ts';
import { MAX_DATA_BYTES, ok, oneName, type Operation } from './operations.ts';
import { large, MAX_PACKET_BYTES, packet, TYPE } from './packet.ts';
import { canonical, expanded, pathOf } from './paths.ts';
import { Refusal, STATUS } from './status.ts';

const fsync = promisify(fs.fsync);

/** OpenSSH's additions, told to clients at the start. */
export const EXTENSIONS: Readonly<Record<string, { readonly version: string; readonly operation: Operation }>> = {
  'posix-rename@openssh.com': {
    version: '1',
    async operation(id, reader) {
      await rename(pathOf(reader), pathOf(reader));
      return ok(id);
    },
  },
  'hardlink@openssh.com': {
    version: '1',
    async operation(id, reader) {
      await link(pathOf(reader), pathOf(reader));
      return ok(id);
    },
  },
  'fsync@openssh.com': {
    version: '1',
    async operation(id, reader, handles) {
      await fsync(handles.file(reader.string()).fd);
      return ok(id);
    },
  },
  'lsetstat@openssh.com': {
    version: '1',
    async operation(id, reader) {
      const path = pathOf(reader);
      const { size, mode, times, owner } = wantedOf(reader);
      // Linux has neither a size to set nor permissions for a link itself; clients send its permissions along and do not need them.
      if (size !== null) throw new Refusal(STATUS.badMessage, 'A link has no size to set');
      if (mode !== null && times === null && owner === null) throw new Refusal(STATUS.unsupported, 'Operation unsupported');
      if (times !== null) await lutimes(path, times.access, times.change);
      if (owner !== null) await lchown(path, owner.uid, owner.gid);
      return ok(id);
    },
  },
  'expand-path@openssh.com': { version: '1', operation: async (id, reader) => oneName(id, await canonical(expanded(reader.string()))) },
  'statvfs@openssh.com': { version: '2', operation: (id, reader) => space(id, pathOf(reader)) },
  'fstatvfs@openssh.com': { version: '2', operation: (id, reader, handles) => space(id, Buffer.from(`/proc/self/fd/${handles.file(reader.string()).fd}`)) },
  'limits@openssh.com': {
    version: '1',
    // Packet, read, write, open handles; 0 leaves the last one open.
    operation: (id) => Promise.resolve(packet(TYPE.extendedReply, id, large(MAX_PACKET_BYTES), large(MAX_DATA_BYTES), large(MAX_DATA_BYTES), large(0))),
  },
};

/** Linux's limit for a name. */
const NAME_MAX = 255;

async function space(id: number, path: Buffer): Promise<Buffer> {
  const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(path);
  // Block size twice (as wanted, as counted), then blocks, then files (twice free: for root, for users), an id, flags, the name limit.
  return packet(TYPE.extendedReply, id, ...[bsize, bsize, blocks, bfree, bavail, files, ffree, ffree, 0, 0, NAME_MAX].map(large));
}
