import { closeSync, constants, openSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import koffi from 'koffi';
import { check, CLONE, declare, setns, SysError } from '../sys/index.ts';

/**
 * Sockets that Node cannot make: netlink ones, and ones of another network namespace.
 *
 * A network namespace belongs to a thread. `inNetns` moves the JavaScript thread for the length of one synchronous
 * function: sockets made, files of /proc/sys/net opened and processes spawned in it belong to that namespace for good.
 */

const cSocket = declare('int socket(int domain, int type, int protocol)');
const cBind = declare('int bind(int fd, const void *address, uint32_t length)');
const cSetsockopt = declare('int setsockopt(int fd, int level, int option, const void *value, uint32_t length)');
const cSend = declare('long send(int fd, const void *data, size_t length, int flags)') as ReturnType<typeof declare> & {
  async(fd: number, data: Buffer, length: number, flags: number, done: (error: Error | null, sent: unknown) => void): void;
};
const cRecv = declare('long recv(int fd, void *data, size_t length, int flags)');

const MSG_DONTWAIT = 0x40;
const SOCK_CLOEXEC = 0o2000000;
const AF_INET = 2;
const AF_NETLINK = 16;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;

/** Runs a synchronous function with the JavaScript thread in another network namespace. */
export function inNetns<T>(netnsFd: number, work: () => T): T {
  const home = openSync('/proc/thread-self/ns/net', constants.O_RDONLY);
  try {
    setns(netnsFd, CLONE.NEWNET);
    try {
      return work();
    } finally {
      try {
        setns(home, CLONE.NEWNET);
      } catch {
        process.abort(); // a runner whose sockets open on the sandboxes' side of the wall must not go on
      }
    }
  } finally {
    closeSync(home);
  }
}

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
  check(cSend(fd, data, data.length, 0), 'send');
}

/** Like `send`, in a thread of the pool: for requests that the kernel takes milliseconds to carry out. */
export function sendInBackground(fd: number, data: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    cSend.async(fd, data, data.length, 0, (error, sent) => {
      if (error !== null) reject(error);
      else if (Number(sent) === data.length) resolve();
      else reject(new SysError('send', koffi.errno(), null));
    });
  });
}

/** @returns bytes read, or null when nothing is queued */
export function receive(fd: number, into: Buffer): number | null {
  const length = cRecv(fd, into, into.length, MSG_DONTWAIT);
  if (Number(length) < 0 && koffi.errno() === osConstants.errno.EAGAIN) return null;
  return check(length, 'recv');
}
