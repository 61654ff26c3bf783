import { readFileSync } from 'node:fs';
import { StartRefused } from '../start-refused.ts';

/**
 * From root to the service user, for good: groups, then group, then user. Everything that needs root (binding the port)
 * comes before. Not root: nothing to drop.
 */
export function dropPrivileges(userName: string): void {
  const user = userToBecome(userName);
  if (user === null) return;
  const { uid, gid } = user;
  (process as unknown as { initgroups(user: string, group: number): void }).initgroups(userName, gid); // missing in the type declarations
  process.setgid!(gid);
  process.setuid!(uid);
}

/** @returns null: this process is not root and stays who it is */
export function userToBecome(userName: string): { readonly uid: number; readonly gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const entry = readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':')).find(([name]) => name === userName);
  if (!entry) throw new StartRefused(`The system user "${userName}" does not exist. Create it or set PADDOCK_SERVICE_USER.`);
  const [uid, gid] = [Number(entry[2]), Number(entry[3])];
  if (uid === 0) throw new StartRefused('PADDOCK_SERVICE_USER must not be root: the control plane answers strangers.');
  return { uid, gid };
}
