import { rmSync, writeFileSync } from 'node:fs';
import { statOf } from '../sessions/process-tree.ts';
import { type PtyNote, scratchPath } from '../sessions/scratch.ts';
import type { PtyInfo } from './session.ts';

let count = 0;

/** What a later toolbox finds of a terminal session should this one die. */
export class SessionNote {
  readonly #name = `pty-${++count}.json`;

  /** @param pid the terminal's program; null: not started */
  write(pty: PtyInfo, pid: number | null): void {
    const note: PtyNote = { pty, pid, startTicks: pid === null ? '' : (statOf(pid)?.startTicks ?? '') };
    try {
      writeFileSync(scratchPath(this.#name), JSON.stringify(note), { mode: 0o600 });
    } catch (error) {
      // A terminal on a full disk is worth more than the news of its end.
      console.error(JSON.stringify({ level: 'warn', message: 'a terminal session could not be noted for a later toolbox', reason: (error as Error).message }));
    }
  }

  forget(): void {
    rmSync(scratchPath(this.#name), { force: true });
  }
}
