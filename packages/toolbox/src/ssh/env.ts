import type { Env } from '../environment/environment.ts';

/**
 * Which variables a client may send. Its user has the whole sandbox anyway, so this is about accidents: clients send what their own
 * machine has, and what describes that machine must not replace what describes this one.
 */
const REFUSED = /^(?:LD_.*|SSH_.*|PADDOCK_.*|PATH|HOME|USER|LOGNAME|SHELL|SHLVL|PWD|OLDPWD|TMPDIR|ENV|BASH_ENV|IFS)$/;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** All of them together stay far below what the kernel lets a program start with (2 MiB with its arguments). */
const MAX_COUNT = 256;
const MAX_VALUE_BYTES = 4096;

export function accepted(name: string, value: string, before: Env): boolean {
  if (!NAME.test(name) || REFUSED.test(name) || value.includes('\0') || Buffer.byteLength(value) > MAX_VALUE_BYTES) return false;
  return name in before || Object.keys(before).length < MAX_COUNT;
}
