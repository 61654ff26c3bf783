import { closeSync } from 'node:fs';
import { SYS, check, declare } from './libc.ts';

const fsopen = declare('long syscall(long nr, const char* type, unsigned int flags)');
const fsconfig = declare('long syscall(long nr, int fd, unsigned int command, const char* key, const char* value, int aux)');
const fsmount = declare('long syscall(long nr, int fd, unsigned int flags, unsigned int attributes)');

const CLOEXEC = 1;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;

/**
 * Mounts a file system in no namespace at all: only the returned descriptor leads to it, as `/proc/self/fd/<fd>/`. No
 * other process can have come to hold a copy, so closing the descriptor ends the mount.
 * @param device block device
 */
export function hiddenMount(type: string, device: string): number {
  const context = check(fsopen(SYS.fsopen, type, CLOEXEC), 'fsopen', type);
  try {
    check(fsconfig(SYS.fsconfig, context, FSCONFIG_SET_STRING, 'source', device, 0), 'fsconfig', device);
    check(fsconfig(SYS.fsconfig, context, FSCONFIG_CMD_CREATE, null, null, 0), 'fsconfig', device);
    return check(fsmount(SYS.fsmount, context, CLOEXEC, 0), 'fsmount', device);
  } finally {
    closeSync(context);
  }
}
