import { closeSync, constants, openSync } from 'node:fs';
import koffi from 'koffi';

/**
 * The few C calls that networking needs and Node does not have. Each throws an `Errno` with the call's name.
 *
 * A network namespace belongs to a thread. `inNetns` moves the JavaScript thread for the length of one synchronous
 * function: sockets made, files of /proc/sys/net opened and processes spawned in it belong to that namespace for good.
 */

const libc = koffi.load('libc.so.6');
const cSetns = libc.func('int setns(int fd, int type)');
const cMount = libc.func('int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)');
const cUmount = libc.func('int umount2(const char *target, int flags)');
const cSocket = libc.func('int socket(int domain, int type, int protocol)');
const cBind = libc.func('int bind(int fd, const void *address, uint32_t length)');
const cSetsockopt = libc.func('int setsockopt(int fd, int level, int option, const void *value, uint32_t length)');
const cSend = libc.func('long send(int fd, const void *data, size_t length, int flags)');
const cRecv = libc.func('long recv(int fd, void *data, size_t length, int flags)');

export class Errno extends Error {
  readonly errno: number;

  constructor(what: string, errno: number) {
    super(`${what}: errno ${errno}`);
    this.name = 'Errno';
    this.errno = errno;
  }
}

export const ENOENT = 2;
export const EAGAIN = 11;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;

const CLONE_NEWNET = 0x4000_0000;
const MS_BIND = 0x1000;
const MNT_DETACH = 2;
const MSG_DONTWAIT = 0x40;
const SOCK_CLOEXEC = 0o2000000;

function check(result: number, what: string): number {
  if (result < 0) throw new Errno(what, koffi.errno());
  return result;
}

/** Runs a synchronous function with the JavaScript thread in another network namespace. */
export function inNetns<T>(netnsFd: number, work: () => T): T {
  const home = openSync('/proc/thread-self/ns/net', constants.O_RDONLY);
  try {
    check(cSetns(netnsFd, CLONE_NEWNET), 'setns');
    try {
      return work();
    } finally {
      // The thread must never stay in a sandbox's side of the wall: a failure here ends the process.
      if (cSetns(home, CLONE_NEWNET) < 0) process.abort();
    }
  } finally {
    closeSync(home);
  }
}

export function bindMount(source: string, target: string): void {
  check(cMount(source, target, null, MS_BIND, null), `bind mount ${target}`);
}

/** @returns false when nothing was mounted there */
export function unmount(target: string): boolean {
  if (cUmount(target, MNT_DETACH) === 0) return true;
  const errno = koffi.errno();
  if (errno === EINVAL || errno === ENOENT) return false;
  throw new Errno(`umount ${target}`, errno);
}

const AF_INET = 2;
const AF_NETLINK = 16;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;

/** @returns a bound netlink socket of the calling thread's network namespace */
export function netlinkSocket(protocol: number): number {
  const fd = check(cSocket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), 'netlink socket');
  const address = Buffer.alloc(12);
  address.writeUInt16LE(AF_NETLINK, 0);
  check(cBind(fd, address, address.length), 'bind netlink socket');
  return fd;
}

/** @returns a socket of the calling thread's network namespace, bound to an IPv4 address and not yet listening */
export function boundSocket(kind: 'udp' | 'tcp', ip: number, port: number): number {
  const fd = check(cSocket(AF_INET, (kind === 'udp' ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0), 'socket');
  const yes = Buffer.alloc(4);
  yes.writeInt32LE(1);
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  address.writeUInt16BE(port, 2);
  address.writeUInt32BE(ip, 4);
  try {
    if (kind === 'tcp') check(cSetsockopt(fd, SOL_SOCKET, SO_REUSEADDR, yes, 4), 'SO_REUSEADDR');
    check(cBind(fd, address, address.length), `bind ${kind} port ${port}`);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

export function send(fd: number, data: Buffer): void {
  check(Number(cSend(fd, data, data.length, 0)), 'send');
}

/** Like `send`, in a thread of the pool: for requests that the kernel takes milliseconds to carry out. */
export function sendInBackground(fd: number, data: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    cSend.async(fd, data, data.length, 0, (error: Error | null, sent: number | bigint) => {
      if (error !== null) reject(error);
      else if (Number(sent) !== data.length) reject(new Errno('send', koffi.errno()));
      else resolve();
    });
  });
}

/** @returns bytes read, or null when nothing is queued */
export function receive(fd: number, into: Buffer): number | null {
  const length = Number(cRecv(fd, into, into.length, MSG_DONTWAIT));
  if (length >= 0) return length;
  const errno = koffi.errno();
  if (errno === EAGAIN) return null;
  throw new Errno('recv', errno);
}
