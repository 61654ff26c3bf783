import { spawnSync } from 'node:child_process';
import { existsSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Layout } from '@paddock/contract';
import { killQuietly } from '../host/process-identity.ts';
import { stopInstance } from './stop.ts';
import { findTraces, type Trace } from './traces.ts';

/** Processes die and namespaces are taken down in the background; a few seconds are plenty. */
const PATIENCE_MS = 15_000;

/**
 * Removes everything an instance has on the machine: server, sandboxes, network, cgroups, and the data directory unless
 * it is to be kept. Works whatever state the instance is in.
 * @returns what could not be removed
 */
export async function destroyInstance(layout: Layout, keepData: boolean): Promise<Trace[]> {
  await stopInstance(layout);
  const deadline = Date.now() + PATIENCE_MS;
  let left = findTraces(layout);
  while (left.length > 0 && Date.now() < deadline) {
    for (const trace of left) remove(trace);
    left = findTraces(layout);
    if (left.length > 0) await sleep(20);
  }
  rmSync(layout.runDir, { recursive: true, force: true });
  if (!keepData) rmSync(layout.dataDir, { recursive: true, force: true });
  return left;
}

function remove(trace: Trace): void {
  switch (trace.kind) {
    case 'process':
      killQuietly(trace.pid, 'SIGKILL');
      return;
    case 'cgroup':
      // Processes that a killed runner left frozen for a snapshot would not die.
      for (const [file, value] of [['freezer.state', 'THAWED'], ['cgroup.freeze', '0']] as const) {
        if (existsSync(join(trace.path, file))) writeFileSync(join(trace.path, file), value);
      }
      try {
        rmdirSync(trace.path);
      } catch {
        // still has a dying process: tried again
      }
      return;
    case 'mount':
      run('umount', '--lazy', trace.path);
      return;
    case 'netns':
      run('ip', 'netns', 'delete', trace.name);
      return;
    case 'link':
      run('ip', 'link', 'delete', trace.name);
      return;
    case 'nft table':
      run('nft', 'delete', 'table', trace.family, trace.name);
      return;
    case 'loop device':
      run('losetup', '--detach', trace.device);
  }
}

/** Whether it worked shows when the traces are looked up again. */
function run(command: string, ...args: string[]): void {
  spawnSync(command, args, { stdio: 'ignore' });
}
