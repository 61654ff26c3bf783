/**
 * Files a sandbox gets from the host and may change: /etc/hosts, hostname, resolv.conf, and its device nodes. They live on
 * a tmpfs of the sandbox's own, of fixed size and owned by its root, so that writing to them takes nothing from the host.
 */
import { chmodSync, chownSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MS, mount, unmountAll } from '../sys/index.ts';
import { makeCharDevice } from './kernel.ts';
import { OWN_DEVICES, type OwnDevice } from './spec.ts';

/** Room for a few hundred lines in /etc/hosts; the page cache of a tmpfs counts whole pages. */
const SIZE = '128k';
const INODES = 32;

/** Devices of `OWN_DEVICES` the host's kernel has. */
export function hostDevices(): readonly OwnDevice[] {
  return OWN_DEVICES.filter((device) => existsSync(device.path));
}

export interface OwnFilesInput {
  readonly id: string;
  readonly idBase: number;
  readonly address: string;
  readonly resolver: string;
  readonly devices: readonly OwnDevice[];
}

/** Mounts the tmpfs at `dir` (which need not exist) and fills it. The caller unmounts it once the sandbox has its binds. */
export function mountOwnFiles(dir: string, input: OwnFilesInput): void {
  unmountOwnFiles(dir);
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  mount('tmpfs', dir, 'tmpfs', MS.NOSUID, `size=${SIZE},nr_inodes=${INODES},mode=755`);
  const root = input.idBase;
  const file = (name: string, text: string): void => {
    const path = join(dir, name);
    writeFileSync(path, text, { mode: 0o644 });
    chownSync(path, root, root);
  };
  file('hostname', `${input.id}\n`);
  file('hosts', [
    '127.0.0.1 localhost',
    '::1 localhost ip6-localhost ip6-loopback',
    `${input.address} ${input.id}`,
    '',
  ].join('\n'));
  file('resolv.conf', `nameserver ${input.resolver}\n`);
  for (const device of input.devices) {
    const path = join(dir, device.file);
    makeCharDevice(path, device.major, device.minor);
    chmodSync(path, 0o666); // past the umask
    chownSync(path, root, root);
  }
  for (const name of ['unmasked', 'unmasked/proc', 'unmasked/sys']) {
    const path = join(dir, name);
    mkdirSync(path, { mode: 0o700 });
    chownSync(path, root, root);
  }
}

/** Detaches the tmpfs and removes its mount point. Idempotent. */
export function unmountOwnFiles(dir: string): void {
  unmountAll(dir);
  rmSync(dir, { recursive: true, force: true });
}
