import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const bind = libc.func('int bind(int fd, const void *address, unsigned int length)');
const listen = libc.func('int listen(int fd, int backlog)');

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;

/** A unix socket that listens while nobody accepts yet, as the engine hands it to a toolbox. The caller closes the descriptor. */
export function listeningSocket(path: string): number {
  const address = Buffer.alloc(110);
  address.writeUInt16LE(AF_UNIX);
  address.write(path, 2);
  const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) as number;
  if (fd < 0 || bind(fd, address, 2 + path.length + 1) !== 0 || listen(fd, 128) !== 0) throw new Error(`cannot listen on ${path}: errno ${koffi.errno()}`);
  return fd;
}
