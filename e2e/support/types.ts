import type { Layout } from '@paddock/contract';

/** A whole Paddock that a test, the benchmark or the chaos run started (`startPaddock` in harness.ts). */
export interface Paddock {
  /** Ends in `/api`. */
  readonly apiUrl: string;
  readonly apiKey: string;
  readonly layout: Layout;
  /** Pids as they are at the time of the call; children are restarted under new ones. */
  pids(): { supervisor: number; control: number; runner: number; postgres: number };
  /** SIGKILLs the process; false when it does not run at the moment. */
  kill9(name: 'supervisor' | 'control' | 'runner' | 'postgres'): boolean;
  /** Resolves when the warm pool holds what it should (at once when it is off). */
  warmPoolFull(): Promise<void>;
  logs(): string;
  /** What exists of this instance's sandboxes although the API lists none: processes, cgroups, slots in use, subvolumes, records, veths. Warm ones are not counted. */
  sandboxLeftovers(): string[];
  /** Everything the instance made on the host that is still there: mounts, netns, veths, cgroups, loop devices, nft tables, processes. */
  leftovers(): string[];
  /** Stops the server and leaves everything it has on disk. */
  halt(): Promise<void>;
  /** Deletes all sandboxes, stops the server and removes its data directory. */
  stop(): Promise<void>;
}

export interface PaddockOptions {
  /** As PADDOCK_WARM_POOL: `0` or `daytona-small=2,…`. Default `0`. */
  readonly warmPool?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** One that was halted: started again on its data, under its address and key. */
  readonly earlier?: Paddock;
}
