/** Test rig: what a toolbox costs. */
import { readFileSync } from 'node:fs';
import type { Toolbox } from './toolbox.ts';

/** What a sandbox may cost while it idles. */
export const MEMORY_LIMIT_BYTES = 15 * 1024 * 1024;

/** Memory that is this process' alone. Its program's clean pages are shared with other toolboxes and come and go with the page cache. */
export const memoryBytes = (toolbox: Toolbox): number => Number(/^Private_Dirty:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${toolbox.child.pid}/smaps_rollup`, 'utf8'))![1]) * 1024;

/** Memory is given back after 10 s of silence. */
export const quiet = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 12_000));
