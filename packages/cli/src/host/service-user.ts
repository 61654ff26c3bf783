import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface ServiceUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** The user that parts without need for root run as. @returns null when the machine has none of that name */
export function findServiceUser(name: string): ServiceUser | null {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [user, , uid, gid] = line.split(':');
    if (user === name) return { name, uid: Number(uid), gid: Number(gid) };
  }
  return null;
}

/** Makes the system user when it is missing. Not root: everything runs as who started it. */
export function ensureServiceUser(name: string): ServiceUser {
  const { uid = 0, gid = 0 } = { uid: process.getuid?.(), gid: process.getgid?.() };
  if (uid !== 0) return { name, uid, gid };
  const existing = findServiceUser(name);
  if (existing) return existing;
  let complaint = '';
  try {
    execFileSync('useradd', ['--system', '--user-group', '--no-create-home', '--home-dir', '/nonexistent', '--shell', '/usr/sbin/nologin', name], { stdio: 'pipe' });
  } catch (error) {
    // Another instance may have made it in the same moment: what counts is whether it exists.
    complaint = String((error as { stderr?: Buffer }).stderr ?? error).trim();
  }
  const made = findServiceUser(name);
  if (!made) throw new Error(`The system user "${name}" is missing and could not be made: ${complaint}`);
  return made;
}
