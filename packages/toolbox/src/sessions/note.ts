import { rmSync } from 'node:fs';
import { statOf } from './process-tree.ts';
import { type ContextNote, type PtyNote, scratchPath, writeNote } from './scratch.ts';

let count = 0;

/** What a later toolbox finds of a terminal session or an interpreter context should this one die. */
export class RestartNote {
  readonly #name = `note-${++count}.json`;

  /** @param pid the process that leads what is to be ended; null: not started */
  write(about: Pick<PtyNote, 'pty'> | Pick<ContextNote, 'context'>, pid: number | null): void {
    const note: PtyNote | ContextNote = { ...about, pid, startTicks: pid === null ? '' : (statOf(pid)?.startTicks ?? '') };
    try {
      writeNote(this.#name, note);
    } catch (error) {
      // What runs is worth more on a full disk than the news of its end.
      console.error(JSON.stringify({ level: 'warn', message: 'what runs could not be noted for a later toolbox', reason: (error as Error).message }));
    }
  }

  forget(): void {
    rmSync(scratchPath(this.#name), { force: true });
  }
}
