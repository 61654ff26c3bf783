/** Reads the users of an image. Its content is untrusted: paths resolve inside it, sizes are bounded, odd lines are skipped. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { errorCode, openInRoot } from '../sys/index.ts';
import type { ImageConfig } from '../types.ts';

type Users = ImageConfig['users'];

/** /etc/passwd of a large organization has some thousand lines of a hundred bytes. */
const MAX_BYTES = 1024 * 1024;

/** Ids a sandbox can have: its user namespace maps 16 bits. */
const MAX_ID = 65_535;

/** @param layers absolute directories, topmost first: the first that has a file, or a whiteout of it, decides as in the overlay */
export function readUsers(layers: readonly string[]): Users {
  return parseUsers(readFrom(layers, 'etc/passwd'), readFrom(layers, 'etc/group'));
}

export function parseUsers(passwd: string, group: string): Users {
  const groupsOf = new Map<string, number[]>();
  for (const line of group.split('\n')) {
    const [, , gid, members] = line.split(':');
    if (!isId(gid) || members === undefined) continue;
    for (const member of members.split(',').filter(Boolean)) groupsOf.set(member, [...(groupsOf.get(member) ?? []), Number(gid)]);
  }
  const users: Record<string, Users[string]> = Object.create(null) as Record<string, Users[string]>;
  for (const line of passwd.split('\n')) {
    const [name, , uid, gid, , home] = line.split(':');
    if (name === undefined || name === '' || name in users || !isId(uid) || !isId(gid)) continue;
    users[name] = { uid: Number(uid), gid: Number(gid), home: home?.startsWith('/') ? home : '/', groups: groupsOf.get(name) ?? [] };
  }
  // A file system without /etc/passwd still has a root.
  users['root'] ??= { uid: 0, gid: 0, home: '/root', groups: [] };
  return users;
}

function isId(text: string | undefined): boolean {
  return text !== undefined && /^\d{1,5}$/.test(text) && Number(text) <= MAX_ID;
}

function readFrom(layers: readonly string[], path: string): string {
  for (const layer of layers) {
    const root = openSync(layer, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const text = readInside(root, path);
      if (text !== null) return text;
    } finally {
      closeSync(root);
    }
  }
  return '';
}

/** @returns null when the layer has nothing of that name, '' when it is no regular file */
function readInside(root: number, path: string): string | null {
  let fd: number;
  try {
    // O_NONBLOCK: a fifo in the place of a file must not hang the runner.
    fd = openInRoot(root, path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    const code = errorCode(error) ?? '';
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    // A link in circles; a whiteout or a node of no driver, which the pool's mount forbids to open.
    if (['ELOOP', 'ENXIO', 'EACCES'].includes(code)) return '';
    throw error;
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) return '';
    const bytes = Buffer.alloc(Math.min(stat.size, MAX_BYTES));
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(fd);
  }
}
