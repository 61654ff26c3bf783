import { readFileSync, writeFileSync } from 'node:fs';

/**
 * /proc/sys/net of the calling thread's network namespace. Only the synchronous calls may be used: Node's other file
 * calls run in threads that are always in the runner's own namespace.
 */

/** @param name with slashes: `ipv4/ip_forward` @returns null when the kernel has no such setting */
export function readSysctl(name: string): string | null {
  try {
    return readFileSync(`/proc/sys/net/${name}`, 'utf8').trim();
  } catch {
    return null;
  }
}

export function writeSysctl(name: string, value: string | number): void {
  writeFileSync(`/proc/sys/net/${name}`, String(value));
}

/** @returns false when the kernel has no such setting, as for IPv6 on a kernel without it */
export function trySysctl(name: string, value: string | number): boolean {
  if (readSysctl(name) === null) return false;
  writeSysctl(name, value);
  return true;
}
