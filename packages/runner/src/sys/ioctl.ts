import { check, declare, declareInBackground } from './libc.ts';
import { SysError } from './sys-error.ts';

const ioctlPointer = declare('int ioctl(int fd, unsigned long request, _Inout_ void* argument)');
const ioctlValue = declare('int ioctl(int fd, unsigned long request, long argument)');

const ioctlInThread = declareInBackground('int ioctl(int fd, unsigned long request, _Inout_ void* argument)');

const WRITE = 1n;
const READ = 2n;

/** Request numbers as <asm-generic/ioctl.h> builds them: direction, size of the argument in bytes, type, number. */
export const ioNone = (type: number, number: number): bigint => request(0n, type, number, 0);
export const ioWrite = (type: number, number: number, size: number): bigint => request(WRITE, type, number, size);
export const ioRead = (type: number, number: number, size: number): bigint => request(READ, type, number, size);
export const ioReadWrite = (type: number, number: number, size: number): bigint => request(READ | WRITE, type, number, size);

function request(direction: bigint, type: number, number: number, size: number): bigint {
  return (direction << 30n) | (BigInt(size) << 16n) | (BigInt(type) << 8n) | BigInt(number);
}

/**
 * ioctl(2) with a buffer that the kernel reads and may write.
 * @param what name of the request, for the error @param path what the descriptor is, for the error
 */
export function ioctl(fd: number, request: bigint, argument: Buffer, what: string, path: string | null = null): number {
  return check(ioctlPointer(fd, request, argument), what, path);
}

/** ioctl(2) whose argument is a number. */
export function ioctlNumber(fd: number, request: bigint, argument: number, what: string, path: string | null = null): number {
  return check(ioctlValue(fd, request, argument), what, path);
}

/** `ioctl` in a thread of the pool. The descriptor must stay open until it is done. */
export async function ioctlInBackground(fd: number, request: bigint, argument: Buffer, what: string, path: string | null = null): Promise<number> {
  const { value, errno } = await ioctlInThread(fd, request, argument);
  if (value < 0) throw new SysError(what, errno, path);
  return value;
}
