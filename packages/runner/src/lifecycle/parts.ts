/** What the operations on sandboxes work with; made once by main.ts. */
import type { Logger } from 'pino';
import type { RunnerEvent, RunnerImage } from '@paddock/contract';
import type { Cgroups } from '../engine/cgroups.ts';
import type { ExitWatch } from '../engine/exit-watch.ts';
import type { Launcher } from '../engine/launcher.ts';
import type { Runtime } from '../engine/runtime.ts';
import type { Disks, Image, Network } from '../types.ts';
import type { Volumes } from '../volumes/index.ts';
import type { Records } from './records.ts';

/** The image store, as far as starting a sandbox needs it. */
export interface ImageSource {
  /** A ready image that new sandboxes may use, or null. */
  get(name: string): Image | null;
  /** A ready image for a sandbox that stands on it: deleted ones, too. */
  ofSandbox(name: string): Image | null;
  list(): RunnerImage[];
  /** Removes what no sandbox needs any more of deleted images. */
  collect(): Promise<void>;
}

export interface Parts {
  readonly disks: Disks;
  readonly network: Network;
  readonly volumes: Volumes;
  readonly images: ImageSource;
  readonly cgroups: Cgroups;
  readonly runtime: Runtime;
  readonly launcher: Launcher;
  readonly exits: ExitWatch;
  readonly records: Records;
  readonly publish: (event: RunnerEvent) => void;
  readonly log: Logger;
}
