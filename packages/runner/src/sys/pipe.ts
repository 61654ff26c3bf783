import { check, declare } from './libc.ts';

const pipe2 = declare('int pipe2(_Out_ int* ends, int flags)');
const closeFd = declare('int close(int fd)');
const fcntlValue = declare('int fcntl(int fd, int command, long value)');

const O_CLOEXEC = 0o2000000;
const F_SETPIPE_SZ = 1031;

export interface Pipe {
  readonly read: number;
  readonly write: number;
}

/**
 * pipe(2) that no child inherits unless it is handed to it. Whoever calls closes both ends, with `closeEnd` or a stream over it: Node
 * warns of descriptors that it closes and did not open.
 * @param bytes what it holds, where the kernel allows that much: what is written in between waits for nobody
 */
export function openPipe(bytes: number): Pipe {
  const ends = [0, 0];
  check(pipe2(ends, O_CLOEXEC), 'pipe2');
  const [read, write] = ends as [number, number];
  fcntlValue(write, F_SETPIPE_SZ, bytes); // a pipe that stays small is slower and nothing else
  return { read, write };
}

export function closeEnd(fd: number): void {
  check(closeFd(fd), 'close');
}
