/** System calls the runner makes itself. Thin: one function a call, typed, errors as SysError. Linux, root. */
export { asFs } from './credentials.ts';
export { hiddenMount } from './hidden-mount.ts';
export { MOUNT_ATTR, attachMount, detachedMount, idmapMount } from './idmap-mount.ts';
export { ioNone, ioRead, ioReadWrite, ioWrite, ioctl, ioctlInBackground, ioctlNumber } from './ioctl.ts';
export { check, declare } from './libc.ts';
export { MNT, MS, bindMount, detachTree, listMounts, mount, mountAt, parseMounts, umount2, unmountAll } from './mount.ts';
export type { MountPoint } from './mount.ts';
export { CLONE, inMountNs, inNetNs, setns, unshare } from './namespaces.ts';
export { O_PATH, makeDirectoryAt, makeDirectoryLater, openBeneath, openBeneathLater, openInRoot } from './open-in-root.ts';
export { SysError, errnoName, errorCode } from './sys-error.ts';
export { syncFileSystemOf } from './sync.ts';
export { nextData, nextHole } from './holes.ts';
export { getXattr, readXattrs } from './xattr.ts';
export { makeNode, setXattrAt } from './node.ts';
export { closeEnd, openPipe, type Pipe } from './pipe.ts';
