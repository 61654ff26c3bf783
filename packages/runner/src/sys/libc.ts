import koffi from 'koffi';
import { SysError } from './sys-error.ts';

/**
 * The C library through koffi (FFI): a mount or an ioctl costs microseconds here, where spawning a tool costs
 * milliseconds. Calls run on the main thread, so nothing that can block for long belongs here.
 */
const libc = koffi.load('libc.so.6');

/** Declares one C function. @param prototype C prototype with koffi's `_Out_` markers. */
export function declare(prototype: string): (...args: unknown[]) => unknown {
  return libc.func(prototype) as unknown as (...args: unknown[]) => unknown;
}

/**
 * Like `declare`, run by a thread of libuv's pool: for calls that can take milliseconds. Threads have their own credentials
 * and their own network namespace, and share the mount namespace.
 */
export function declareInBackground(prototype: string): (...args: unknown[]) => Promise<{ value: number; errno: number }> {
  const call = libc.func(prototype);
  return (...args) =>
    new Promise((resolve, reject) => {
      call.async(...args, (error: Error | null, value: unknown) => {
        if (error !== null) reject(error);
        else resolve({ value: Number(value), errno: koffi.errno() }); // set to the call's errno for the length of this callback
      });
    });
}

/** A negative result becomes a SysError. koffi keeps the errno of the latest call, so nothing may run in between. */
export function check(result: unknown, syscall: string, path: string | null = null): number {
  const value = Number(result);
  if (value < 0) throw new SysError(syscall, koffi.errno(), path);
  return value;
}

/** `AT_FDCWD`: relative to the current directory, where a syscall wants a directory descriptor. */
export const AT_FDCWD = -100;
export const AT_EMPTY_PATH = 0x1000;

/** Syscall numbers; from 424 on the same on every architecture. */
export const SYS = {
  openTree: 428,
  moveMount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  openat2: 437,
  mountSetattr: 442,
} as const;
