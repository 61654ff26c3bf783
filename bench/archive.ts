import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daytona, type Sandbox } from '@daytona/sdk';
import type { Paddock } from '../e2e/support/harness.ts';
import { atLeast, atMost, series, timed, type Figure } from './stats.ts';

/** Of incompressible data: the worst case for everything but the disk. */
const DIRTY_MIB = 1024;
const MEGABYTES = (DIRTY_MIB * 2 ** 20) / 1e6;

const ROUNDS = 5;

/** Snapshots of live sandboxes, sandboxes made of them, archive and restore. */
export async function archives(paddock: Paddock): Promise<Figure[]> {
  const daytona = new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey });
  console.log(`\nSnapshots of a live sandbox with ${DIRTY_MIB} MiB written just before, and its archive`);
  const times: Record<'snapshot' | 'frozen' | 'fromSnapshot' | 'slim' | 'archive' | 'restore', number[]> = { snapshot: [], frozen: [], fromSnapshot: [], slim: [], archive: [], restore: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    const sandbox = await daytona.create({ snapshot: 'daytona-medium' });
    const name = `bench-${process.pid}-${round}`;
    try {
      await sandbox.process.executeCommand(`head -c ${DIRTY_MIB}M /dev/urandom > /tmp/dirty`, undefined, undefined, 120);
      const before = logged(paddock);
      times.snapshot.push(await timed(() => sandbox._experimental_createSnapshot(name)));
      times.frozen.push(logged(paddock).slice(before.length).at(-1) ?? NaN);
      times.slim.push(await timedCreate(daytona, 'daytona-medium'));
      times.fromSnapshot.push(await timedCreate(daytona, name));
      await sandbox.stop();
      times.archive.push(await timed(async () => {
        await sandbox.archive();
        await reached(sandbox, 'archived');
      }));
      times.restore.push(await timed(() => sandbox.start(600)));
    } finally {
      await sandbox.delete();
      await daytona.snapshot.delete(await daytona.snapshot.get(name)).catch(() => undefined);
    }
  }
  for (const [name, values] of Object.entries(times)) console.log(`${name.padEnd(14)} p50 ${series(name, values).p50.toFixed(0)} ms   of ${values.map((ms) => ms.toFixed(0)).join(' ')}`);
  console.log(`for comparison  ${deviceMs(paddock)} ms is what the device takes for ${DIRTY_MIB} MiB alone`);
  const p50 = (name: keyof typeof times): number => series(name, times[name]).p50;
  return [
    atMost(`snapshot of a live sandbox with ${DIRTY_MIB} MiB dirty, from the call to its end`, p50('snapshot'), 300, 'ms'),
    atMost('  the sandbox stands still', p50('frozen'), 300, 'ms'),
    atMost('create from that snapshot over create from slim', p50('fromSnapshot') / p50('slim'), 1.3, 'x'),
    atLeast(`archive of ${DIRTY_MIB} MiB`, MEGABYTES / (p50('archive') / 1000), 150, 'MB/s'),
    atLeast(`restore of ${DIRTY_MIB} MiB, started again`, MEGABYTES / (p50('restore') / 1000), 150, 'MB/s'),
  ];
}

/** How long processes stood still for snapshots, in ms, as the runner logged it. */
function logged(paddock: Paddock): number[] {
  return [...paddock.logs().matchAll(/"frozenMs":([\d.]+)/g)].map(([, ms]) => Number(ms));
}

/** Direct writes to the file system that the pool's file lies on. */
function deviceMs({ layout }: Paddock): string {
  const file = join(layout.dataDir, 'device-speed');
  try {
    const since = performance.now();
    execFileSync('dd', ['if=/dev/zero', `of=${file}`, 'bs=4M', `count=${DIRTY_MIB / 4}`, 'oflag=direct'], { stdio: 'ignore' });
    return (performance.now() - since).toFixed(0);
  } finally {
    rmSync(file, { force: true });
  }
}

async function timedCreate(daytona: Daytona, snapshot: string): Promise<number> {
  let made: Sandbox | null = null;
  const ms = await timed(async () => {
    made = await daytona.create({ snapshot });
  });
  await (made as Sandbox | null)?.delete();
  return ms;
}

async function reached(sandbox: Sandbox, state: string): Promise<void> {
  while (sandbox.state !== state) {
    if (sandbox.state === 'stopped' && sandbox.errorReason) throw new Error(sandbox.errorReason);
    await sleep(20);
    await sandbox.refreshData();
  }
}
