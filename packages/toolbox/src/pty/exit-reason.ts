import type { Exit } from './terminal.ts';

/** Wire: these three have names; a program that caught the signal and left with its code counts the same. */
const NAMED: Readonly<Record<number, string>> = { 130: 'Ctrl+C', 137: 'SIGKILL', 143: 'SIGTERM' };

/** Why a terminal's program ended other than well; nothing for exit code 0. */
export function exitReason(exit: Exit): { readonly exitReason?: string } {
  if (exit.code === 0) return {};
  const named = NAMED[exit.code];
  return { exitReason: named ?? (exit.signal === null ? 'non-zero exit' : `signal ${exit.signal}`) };
}
