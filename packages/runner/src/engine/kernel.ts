/**
 * The few kernel calls the engine needs and Node does not offer, called in-process: a spawn costs milliseconds where a
 * syscall costs microseconds.
 */
import { closeSync } from 'node:fs';
import { check, declare, errorCode } from '../sys/index.ts';

const cSocket = declare('int socket(int domain, int type, int protocol)');
const cBind = declare('int bind(int fd, const void *address, unsigned int length)');
const cListen = declare('int listen(int fd, int backlog)');
const cMemfdCreate = declare('int memfd_create(const char *name, unsigned int flags)');
const cFtruncate = declare('int ftruncate(int fd, long length)');
const cFcntl = declare('int fcntl(int fd, int command, long argument)');
const cPidfdOpen = declare('long syscall(long number, int pid, unsigned int flags)');
const cPidfdSendSignal = declare('long syscall(long number, int pidfd, int signal, void *info, unsigned int flags)');
const cIoctl = declare('int ioctl(int fd, unsigned long request, void *argument)');
const cEpollCreate = declare('int epoll_create1(int flags)');
const cEpollControl = declare('int epoll_ctl(int epoll, int operation, int fd, void *event)');
const cEventfd = declare('int eventfd(unsigned int initial, int flags)');
const cMknod = declare('int mknod(const char *path, unsigned int mode, unsigned long device)');

const cPrlimit = declare('int prlimit(int pid, int resource, const void *next, void *before)');

type AsyncCall = { async(...args: unknown[]): void };
/** Called in a thread of the pool only: it waits for as long as nothing happens. */
const cEpollWait = declare('int epoll_wait(int epoll, void *events, int count, int timeout)') as unknown as AsyncCall;

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
  const fd = check(cSocket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), 'socket');
  try {
    check(cBind(fd, address, address.length), 'bind', path);
    check(cListen(fd, backlog), 'listen', path);
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
  const fd = check(cMemfdCreate(name, CLOEXEC | ALLOW_SEALING), 'memfd_create');
  check(cFtruncate(fd, bytes), 'ftruncate');
  check(cFcntl(fd, F_ADD_SEALS, SEAL_SEAL | SEAL_SHRINK | SEAL_GROW), 'fcntl F_ADD_SEALS');
  return fd;
}

/** Same numbers on every architecture: these calls are newer than the unified table. */
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;

/** @returns a descriptor of the process, or null when it is gone */
export function pidfdOpen(pid: number): number | null {
  try {
    return check(cPidfdOpen(SYS_PIDFD_OPEN, pid, 0), 'pidfd_open');
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return null;
    throw error;
  }
}

/** @returns false when the process is gone */
export function pidfdSignal(pidfd: number, signal: number): boolean {
  try {
    check(cPidfdSendSignal(SYS_PIDFD_SEND_SIGNAL, pidfd, signal, null, 0), 'pidfd_send_signal');
    return true;
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return false;
    throw error;
  }
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
  if (Number(cIoctl(pidfd, PIDFD_GET_INFO, info)) < 0) return null;
  if ((info.readBigUInt64LE(0) & INFO_EXIT) === 0n) return null;
  return info.readInt32LE(60);
}

export function eventfd(): number {
  const CLOEXEC = 0o2000000, NONBLOCK = 0o4000;
  return check(cEventfd(0, CLOEXEC | NONBLOCK), 'eventfd');
}

/** `struct epoll_event` is packed on x86-64 only. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const EVENT_DATA = process.arch === 'x64' ? 4 : 8;

export function epoll(): number {
  return check(cEpollCreate(0o2000000), 'epoll_create1');
}

/** Reports `fd` as readable, with `key` (a non-negative integer) as its name. */
export function epollAdd(epollFd: number, fd: number, key: number): void {
  const EPOLLIN = 1;
  const event = Buffer.alloc(EVENT_BYTES);
  event.writeUInt32LE(EPOLLIN, 0);
  event.writeBigUInt64LE(BigInt(key), EVENT_DATA);
  check(cEpollControl(epollFd, 1, fd, event), 'epoll_ctl add');
}

export function epollRemove(epollFd: number, fd: number): void {
  check(cEpollControl(epollFd, 2, fd, Buffer.alloc(EVENT_BYTES)), 'epoll_ctl remove');
}

/** Keys of the descriptors that are readable; waits in a thread of the pool, so no time passes on the event loop. */
export function epollWait(epollFd: number, most: number): Promise<number[]> {
  const events = Buffer.alloc(EVENT_BYTES * most);
  return new Promise((resolve, reject) => {
    cEpollWait.async(epollFd, events, most, -1, (error: unknown, count: number) => {
      if (error) return reject(error);
      const keys: number[] = [];
      for (let i = 0; i < count; i++) keys.push(Number(events.readBigUInt64LE(i * EVENT_BYTES + EVENT_DATA)));
      resolve(keys);
    });
  });
}

/** Character device node, mode 0666. */
export function makeCharDevice(path: string, major: number, minor: number): void {
  const S_IFCHR = 0o020000;
  const device = ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & ~0xff) << 12);
  check(cMknod(path, S_IFCHR | 0o666, device), 'mknod', path);
}

/**
 * Raises how many files this process may open: a sandbox's own limit cannot exceed what the runtime inherits from here.
 * @returns the limit that sandboxes can be given
 */
export function raiseOpenFiles(wanted: number): number {
  const RLIMIT_NOFILE = 7;
  const limit = Buffer.alloc(16);
  check(cPrlimit(0, RLIMIT_NOFILE, null, limit), 'prlimit');
  const hard = Number(limit.readBigUInt64LE(8));
  const raised = Buffer.alloc(16);
  raised.writeBigUInt64LE(BigInt(wanted), 0);
  raised.writeBigUInt64LE(BigInt(Math.max(wanted, hard)), 8);
  if (Number(cPrlimit(0, RLIMIT_NOFILE, raised, null)) >= 0) return wanted;
  // Refused where the machine's own ceiling (fs.nr_open) is lower, or in a container without CAP_SYS_RESOURCE.
  return Math.min(wanted, hard);
}
