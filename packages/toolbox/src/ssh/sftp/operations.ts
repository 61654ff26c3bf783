import fs, { constants } from 'node:fs';
import { chmod, chown, link, lstat, mkdir, readdir, readlink, rename, rmdir, stat, symlink, truncate, unlink, utimes } from 'node:fs/promises';
import { promisify } from 'node:util';
import { errnoOf } from '../../errors.ts';
import { attributesOf, longName, NO_ATTRIBUTES, type Wanted, wantedOf } from './attributes.ts';
import type { Handles } from './handles.ts';
import { MAX_PACKET_BYTES, number, packet, type Reader, string, TYPE } from './packet.ts';
import { absolute, canonical, join, pathOf } from './paths.ts';
import { Refusal, STATUS, status } from './status.ts';

/** Reads its fields, does its work and makes the reply. What it throws becomes a status. */
export type Operation = (id: number, reader: Reader, handles: Handles) => Promise<Buffer>;

/** Room for the head of a reply beside the data. */
const HEAD_BYTES = 1024;
export const MAX_DATA_BYTES = MAX_PACKET_BYTES - HEAD_BYTES;

/** Names in one reply to a listing; each takes at most some 600 bytes. */
const NAMES_AT_A_TIME = 100;

const FLAG = { read: 1, write: 2, append: 4, create: 8, truncate: 16, exclusive: 32 } as const;

const [open, close, read, write, fstat, fchmod, fchown, ftruncate, futimes] =
  [promisify(fs.open), promisify(fs.close), promisify(fs.read), promisify(fs.write), promisify(fs.fstat), promisify(fs.fchmod), promisify(fs.fchown), promisify(fs.ftruncate), promisify(fs.futimes)] as const;

export const OPERATIONS: Readonly<Record<number, Operation>> = {
  async [TYPE.open](id, reader, handles) {
    const path = pathOf(reader);
    const flags = reader.number();
    const wanted = wantedOf(reader);
    handles.reserve();
    // A named pipe must not make everything behind it wait for its other end.
    const fd = await open(path, openFlags(flags) | constants.O_NONBLOCK, wanted.mode ?? 0o666);
    try {
      if ((await fstat(fd)).isDirectory()) throw new Refusal(STATUS.failure, 'Is a directory');
    } catch (error) {
      await close(fd);
      throw error;
    }
    return packet(TYPE.handle, id, string(handles.add({ kind: 'file', fd, appends: (flags & FLAG.append) !== 0 })));
  },

  async [TYPE.close](id, reader, handles) {
    handles.close(reader.string());
    return ok(id);
  },

  async [TYPE.read](id, reader, handles) {
    const { fd } = handles.file(reader.string());
    const offset = reader.large();
    const length = Math.min(reader.number(), MAX_DATA_BYTES);
    const reply = Buffer.allocUnsafe(length + 13);
    const { bytesRead } = await read(fd, reply, 13, length, offset);
    if (bytesRead === 0 && length > 0) return status(id, STATUS.eof, 'End of file');
    reply.writeUInt32BE(bytesRead + 9, 0);
    reply.writeUInt8(TYPE.data, 4);
    reply.writeUInt32BE(id, 5);
    reply.writeUInt32BE(bytesRead, 9);
    return reply.subarray(0, bytesRead + 13);
  },

  async [TYPE.write](id, reader, handles) {
    const { fd, appends } = handles.file(reader.string());
    const offset = reader.large();
    const data = reader.string();
    for (let at = 0; at < data.length;) at += (await write(fd, data, at, data.length - at, appends ? null : offset + at)).bytesWritten;
    return ok(id);
  },

  [TYPE.stat]: async (id, reader) => packet(TYPE.attrs, id, attributesOf(await stat(pathOf(reader)))),
  [TYPE.lstat]: async (id, reader) => packet(TYPE.attrs, id, attributesOf(await lstat(pathOf(reader)))),
  [TYPE.fstat]: async (id, reader, handles) => packet(TYPE.attrs, id, attributesOf(await fstat(handles.file(reader.string()).fd))),

  async [TYPE.setstat](id, reader) {
    const path = pathOf(reader);
    const { size, mode, times, owner } = wantedOf(reader);
    if (size !== null) await truncate(path, size);
    if (times !== null) await utimes(path, times.access, times.change);
    if (mode !== null) await chmod(path, mode);
    if (owner !== null) await chown(path, owner.uid, owner.gid);
    return ok(id);
  },

  async [TYPE.fsetstat](id, reader, handles) {
    const { fd } = handles.file(reader.string());
    const { size, mode, times, owner }: Wanted = wantedOf(reader);
    if (size !== null) await ftruncate(fd, size);
    if (times !== null) await futimes(fd, times.access, times.change);
    if (mode !== null) await fchmod(fd, mode);
    if (owner !== null) await fchown(fd, owner.uid, owner.gid);
    return ok(id);
  },

  async [TYPE.opendir](id, reader, handles) {
    const path = pathOf(reader);
    handles.reserve();
    const names = await readdir(path, 'buffer');
    return packet(TYPE.handle, id, string(handles.add({ kind: 'folder', path, names: [Buffer.from('.'), Buffer.from('..'), ...names] })));
  },

  async [TYPE.readdir](id, reader, handles) {
    const folder = handles.folder(reader.string());
    const entries: Buffer[] = [];
    while (entries.length === 0 && folder.names.length > 0) {
      const names = folder.names.slice(0, NAMES_AT_A_TIME);
      folder.names = folder.names.slice(NAMES_AT_A_TIME);
      for (const name of names) {
        // Removed since the folder was listed.
        const stats = await lstat(join(folder.path, name)).catch(() => null);
        if (stats !== null) entries.push(string(name), string(longName(name, stats)), attributesOf(stats));
      }
    }
    if (entries.length === 0) return status(id, STATUS.eof, 'End of file');
    return packet(TYPE.name, id, number(entries.length / 3), ...entries);
  },

  async [TYPE.remove](id, reader) {
    await unlink(pathOf(reader));
    return ok(id);
  },

  async [TYPE.mkdir](id, reader) {
    const path = pathOf(reader);
    await mkdir(path, wantedOf(reader).mode ?? 0o777);
    return ok(id);
  },

  async [TYPE.rmdir](id, reader) {
    await rmdir(pathOf(reader));
    return ok(id);
  },

  [TYPE.realpath]: async (id, reader) => oneName(id, await canonical(pathOf(reader))),
  [TYPE.readlink]: async (id, reader) => oneName(id, await readlink(pathOf(reader), 'buffer')),

  /** Wire: fails when the new name is taken. A link fails so by itself; what cannot be linked is looked at first. */
  async [TYPE.rename](id, reader) {
    const [from, to] = [pathOf(reader), pathOf(reader)];
    if ((await lstat(from)).isFile()) {
      try {
        await link(from, to);
        await unlink(from);
        return ok(id);
      } catch (error) {
        if (!['EPERM', 'EMLINK', 'EOPNOTSUPP', 'ENOTSUP', 'EXDEV'].includes(errnoOf(error) ?? '')) throw error;
      }
    }
    if (await lstat(to).then(() => true, () => false)) throw new Refusal(STATUS.failure, 'File already exists');
    await rename(from, to);
    return ok(id);
  },

  /** Wire: the target comes first, other than the specification says: so does OpenSSH's server, and clients follow it. */
  async [TYPE.symlink](id, reader) {
    const target = Buffer.from(reader.string());
    await symlink(target, absolute(reader.string()));
    return ok(id);
  },
};

export const ok = (id: number): Buffer => status(id, STATUS.ok, 'Success');

export function oneName(id: number, name: Buffer): Buffer {
  return packet(TYPE.name, id, number(1), string(name), string(name), NO_ATTRIBUTES);
}

function openFlags(flags: number): number {
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const access = has(FLAG.write) ? (has(FLAG.read) ? constants.O_RDWR : constants.O_WRONLY) : constants.O_RDONLY;
  const rest: readonly (readonly [number, number])[] = [[FLAG.append, constants.O_APPEND], [FLAG.create, constants.O_CREAT], [FLAG.truncate, constants.O_TRUNC], [FLAG.exclusive, constants.O_EXCL]];
  return rest.reduce((sum, [flag, bit]) => (has(flag) ? sum | bit : sum), access);
}
