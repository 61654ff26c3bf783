/** Reads the users of an image. Its content is untrusted: paths resolve inside it, sizes are bounded, odd lines are skipped. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { ImageConfig, ImageUser } from '../types.ts';
import { MergedTree } from './merged-tree.ts';

type Users = ImageConfig['users'];

export interface Accounts {
  readonly users: Users;
  /** Group name → id. */
  readonly groups: Readonly<Record<string, number>>;
}

/** /etc/passwd of a large organization has some thousand lines of a hundred bytes. */
const MAX_BYTES = 1024 * 1024;

/** Ids a sandbox can have: its user namespace maps 16 bits. */
const MAX_ID = 65_535;

/** The user that images for sandboxes have by convention. */
const SANDBOX_USER = 'daytona';

/** @param layers absolute directories, topmost first */
export function readUsers(layers: readonly string[]): Users {
  return readAccounts(layers).users;
}

/** @param layers absolute directories, topmost first */
export function readAccounts(layers: readonly string[]): Accounts {
  const tree = new MergedTree(layers);
  const group = readFrom(tree, 'etc/group');
  return { users: parseUsers(readFrom(tree, 'etc/passwd'), group), groups: parseGroups(group) };
}

/**
 * Who `USER` means: a name or an id, with `:group` or without.
 * @param user null or '': the image says nothing; then `daytona` where there is one, else root
 * @returns null where it names nobody
 */
export function runAs(user: string | null, { users, groups }: Accounts): ImageUser | null {
  if (user === null || user === '') {
    const name = Object.hasOwn(users, SANDBOX_USER) ? SANDBOX_USER : 'root';
    return { name, ...users[name]! };
  }
  const [who = '', group] = user.split(':', 2);
  const found = userOf(who, users);
  if (found === null || group === undefined || group === '') return found;
  const gid = isId(group) ? Number(group) : Object.hasOwn(groups, group) ? groups[group]! : null;
  return gid === null ? null : { ...found, gid };
}

/** An id needs no line in /etc/passwd. */
function userOf(who: string, users: Users): ImageUser | null {
  if (Object.hasOwn(users, who)) return { name: who, ...users[who]! };
  if (!isId(who)) return null;
  const uid = Number(who);
  const known = Object.entries(users).find(([, candidate]) => candidate.uid === uid);
  return known === undefined ? { name: who, uid, gid: 0, home: '/', groups: [] } : { name: known[0], ...known[1] };
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

function parseGroups(group: string): Record<string, number> {
  const groups = Object.create(null) as Record<string, number>;
  for (const line of group.split('\n')) {
    const [name, , gid] = line.split(':');
    if (name !== undefined && name !== '' && !(name in groups) && isId(gid)) groups[name] = Number(gid);
  }
  return groups;
}

function isId(text: string | undefined): boolean {
  return text !== undefined && /^\d{1,5}$/.test(text) && Number(text) <= MAX_ID;
}

/** @returns '' where there is no regular file of that name */
function readFrom(tree: MergedTree, path: string): string {
  const file = tree.find(path);
  if (file === null) return '';
  let fd: number;
  try {
    // The tree found a regular file; O_NOFOLLOW and O_NONBLOCK keep it one whatever it is by then.
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    if (['ENOENT', 'ELOOP', 'ENXIO', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
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
