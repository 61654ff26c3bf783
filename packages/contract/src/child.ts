import { writeSync } from 'node:fs';
import type { PaddockConfig } from './config.ts';

/**
 * First act of a child process: reads the one config line from stdin.
 * @param onParentGone called once when the parent's end of the pipe closes (parent stopped or killed)
 */
export function readConfig(onParentGone: () => void): Promise<PaddockConfig> {
  return new Promise((resolve, reject) => {
    let text = '';
    let done = false;
    process.stdin.setEncoding('utf8');
    process.stdin.on('data', (chunk: string) => {
      if (done) return;
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0) return;
      done = true;
      try {
        resolve(JSON.parse(text.slice(0, end)) as PaddockConfig);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
    process.stdin.on('end', () => {
      if (done) onParentGone();
      else reject(new Error('This program is started by `paddock up`, which passes its settings on stdin.'));
    });
  });
}

/** What a child tells the supervisor: one JSON line each on descriptor 3. */
export type ChildMessage =
  /** It serves: the runner's socket, or the API's port, answers. Told once a start. */
  | { readonly type: 'ready' }
  /** Sandboxes can be made of the default snapshots. Told when that becomes true, and at each start. */
  | { readonly type: 'usable' }
  /** A generated administrator's key, to be shown to the operator once; never logged. */
  | { readonly type: 'admin-key'; readonly key: string }
  /** It cannot start and trying again will not help; the sentence says what the operator should do. */
  | { readonly type: 'refused'; readonly reason: string };

export const CHILD_MESSAGES_FD = 3;
/** Set to 1 in the environment of children: descriptor 3 of a process started by hand is something else. */
export const SUPERVISED_ENV = 'PADDOCK_SUPERVISED';

/** Passes a message to the supervisor; does nothing when the process was started by hand. */
export function tellParent(message: ChildMessage): void {
  if (process.env[SUPERVISED_ENV] !== '1') return;
  try {
    writeSync(CHILD_MESSAGES_FD, `${JSON.stringify(message)}\n`);
  } catch {
    // The supervisor is gone: the end of stdin tells that.
  }
}
