/**
 * The few kernel calls the engine needs and Node does not offer, called in-process: a spawn costs milliseconds where a
 * syscall costs microseconds.
 */
import { closeSync } from 'node:fs';
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const socketCall = libc.func('int socket(int domain, int type, int protocol)');
const bindCall = libc.func('int bind(int fd, const void *address, unsigned int length)');
const listenCall = libc.func('int listen(int fd, int backlog)');
const memfdCreate = libc.func('int memfd_create(const char *name, unsigned int flags)');
const ftruncate = libc.func('int ftruncate(int fd, long length)');
const fcntl = libc.func('int fcntl(int fd, int command, long argument)');
const syscallPid = libc.func('long syscall(long number, int pid, unsigned int flags)');
const syscallSignal = libc.func('long syscall(long number, int pidfd, int signal, void *info, unsigned int flags)');
const ioctlCall = libc.func('int ioctl(int fd, unsigned long request, void *argument)');
const epollCreate = libc.func('int epoll_create1(int flags)');
const epollControl = libc.func('int epoll_ctl(int epoll, int operation, int fd, void *event)');
const epollWaitCall = libc.func('int epoll_wait(int epoll, void *events, int count, int timeout)');
const eventfdCall = libc.func('int eventfd(unsigned int initial, int flags)');
const mountCall = libc.func('int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)');
const unmountCall = libc.func('int umount2(const char *target, int flags)');
const mknodCall = libc.func('int mknod(const char *path, unsigned int mode, unsigned long device)');

/** A failed call; `errno` is the kernel's number, `code` its name. */
export class KernelError extends Error {
  readonly errno: number;
  readonly code: string;
  constructor(call: string, errno: number) {
    const code = errnoName(errno);
    super(`${call}: ${code}`);
    this.errno = errno;
    this.code = code;
  }
}

function errnoName(errno: number): string {
  for (const [name, value] of Object.entries(koffi.os.errno)) if (value === errno) return name;
  return `errno ${errno}`;
}

function checked(result: number | bigint, call: string): number {
  const value = Number(result);
  if (value < 0) throw new KernelError(call, koffi.errno());
  return value;
}

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
/** `struct sockaddr_un.sun_path` holds 108 bytes with its closing zero. */
export const UNIX_PATH_MAX = 107;

/**
 * A listening unix stream socket at `path` that nobody accepts on yet: connections made from now on wait in its backlog.
 * The descriptor is close-on-exec; the caller hands it to a child and closes its own copy.
 */
export function listenUnix(path: string, backlog: number): number {
  const bytes = Buffer.from(path);
  if (bytes.length > UNIX_PATH_MAX) throw new Error(`Socket path is longer than ${UNIX_PATH_MAX} bytes: ${path}`);
  const address = Buffer.alloc(2 + bytes.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(address, 2);
  const fd = checked(socketCall(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), 'socket');
  try {
    checked(bindCall(fd, address, address.length), `bind ${path}`);
    checked(listenCall(fd, backlog), `listen ${path}`);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

/** Memory-backed file of exactly `bytes` that can neither grow nor shrink: whoever holds the descriptor can fill it and no more. */
export function fixedMemoryFile(name: string, bytes: number): number {
  const F_ADD_SEALS = 1033;
  const SEAL_SEAL = 1, SEAL_SHRINK = 2, SEAL_GROW = 4;
  const CLOEXEC = 1, ALLOW_SEALING = 2;
  const fd = checked(memfdCreate(name, CLOEXEC | ALLOW_SEALING), 'memfd_create');
  checked(ftruncate(fd, bytes), 'ftruncate');
  checked(fcntl(fd, F_ADD_SEALS, SEAL_SEAL | SEAL_SHRINK | SEAL_GROW), 'fcntl F_ADD_SEALS');
  return fd;
}

/** Same numbers on every architecture: these calls are newer than the unified table. */
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;

/** @returns a descriptor of the process, or null when it is gone */
export function pidfdOpen(pid: number): number | null {
  const result = Number(syscallPid(SYS_PIDFD_OPEN, pid, 0));
  if (result >= 0) return result;
  const errno = koffi.errno();
  if (errno === koffi.os.errno.ESRCH) return null;
  throw new KernelError(`pidfd_open ${pid}`, errno);
}

/** @returns false when the process is gone */
export function pidfdSignal(pidfd: number, signal: number): boolean {
  if (Number(syscallSignal(SYS_PIDFD_SEND_SIGNAL, pidfd, signal, null, 0)) >= 0) return true;
  const errno = koffi.errno();
  if (errno === koffi.os.errno.ESRCH) return false;
  throw new KernelError('pidfd_send_signal', errno);
}

/**
 * Wait status of a process that has ended, read from its pidfd by a process that is not its parent.
 * @returns null where the kernel (before 6.15) does not keep it or the process has not been reaped yet
 */
export function pidfdExitStatus(pidfd: number): number | null {
  /** _IOWR(0xFF, 11, struct pidfd_info), of the structure's first published size. */
  const PIDFD_GET_INFO = 0xc040ff0b;
  const INFO_EXIT = 8n;
  const info = Buffer.alloc(64);
  info.writeBigUInt64LE(INFO_EXIT, 0);
  if (ioctlCall(pidfd, PIDFD_GET_INFO, info) < 0) return null;
  if ((info.readBigUInt64LE(0) & INFO_EXIT) === 0n) return null;
  return info.readInt32LE(60);
}

export function eventfd(): number {
  const CLOEXEC = 0o2000000, NONBLOCK = 0o4000;
  return checked(eventfdCall(0, CLOEXEC | NONBLOCK), 'eventfd');
}

/** `struct epoll_event` is packed on x86-64 only. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const EVENT_DATA = process.arch === 'x64' ? 4 : 8;

export function epoll(): number {
  return checked(epollCreate(0o2000000), 'epoll_create1');
}

/** Reports `fd` as readable, with `key` (a non-negative integer) as its name. */
export function epollAdd(epollFd: number, fd: number, key: number): void {
  const EPOLLIN = 1;
  const event = Buffer.alloc(EVENT_BYTES);
  event.writeUInt32LE(EPOLLIN, 0);
  event.writeBigUInt64LE(BigInt(key), EVENT_DATA);
  checked(epollControl(epollFd, 1, fd, event), 'epoll_ctl add');
}

export function epollRemove(epollFd: number, fd: number): void {
  checked(epollControl(epollFd, 2, fd, Buffer.alloc(EVENT_BYTES)), 'epoll_ctl remove');
}

/** Keys of the descriptors that are readable; waits in a thread of the pool, so no time passes on the event loop. */
export function epollWait(epollFd: number, most: number): Promise<number[]> {
  const events = Buffer.alloc(EVENT_BYTES * most);
  return new Promise((resolve, reject) => {
    epollWaitCall.async(epollFd, events, most, -1, (error: unknown, count: number) => {
      if (error) return reject(error);
      const keys: number[] = [];
      for (let i = 0; i < count; i++) keys.push(Number(events.readBigUInt64LE(i * EVENT_BYTES + EVENT_DATA)));
      resolve(keys);
    });
  });
}

const MS_NOSUID = 2;

/** A small tmpfs of its own: what is put in it can be handed to a sandbox without lending it the host's space. */
export function mountTmpfs(target: string, options: string): void {
  checked(mountCall('tmpfs', target, 'tmpfs', MS_NOSUID, options), `mount tmpfs ${target}`);
}

/** Detaches the mount at `target`; nothing happens when there is none. */
export function unmount(target: string): void {
  const MNT_DETACH = 2, UMOUNT_NOFOLLOW = 8;
  if (unmountCall(target, MNT_DETACH | UMOUNT_NOFOLLOW) >= 0) return;
  const errno = koffi.errno();
  if (errno === koffi.os.errno.EINVAL || errno === koffi.os.errno.ENOENT) return;
  throw new KernelError(`umount ${target}`, errno);
}

/** Character device node, mode 0666. */
export function makeCharDevice(path: string, major: number, minor: number): void {
  const S_IFCHR = 0o020000;
  const device = ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & ~0xff) << 12);
  checked(mknodCall(path, S_IFCHR | 0o666, device), `mknod ${path}`);
}
