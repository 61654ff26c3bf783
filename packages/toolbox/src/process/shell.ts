import { readFileSync } from 'node:fs';
import type { Env } from '../environment/environment.ts';

/** Wire: the first of these that /etc/shells lists, in this order. */
const PREFERRED = ['/usr/bin/zsh', '/bin/zsh', '/usr/bin/bash', '/bin/bash'] as const;

/** The shell of commands. Read anew each time: a command may install one. */
export function userShell(env: Env): string {
  let listed: Set<string>;
  try {
    listed = new Set(readFileSync('/etc/shells', 'utf8').split('\n').map((line) => line.trim()));
  } catch {
    listed = new Set();
  }
  return PREFERRED.find((shell) => listed.has(shell)) ?? (env['SHELL'] || 'sh');
}
