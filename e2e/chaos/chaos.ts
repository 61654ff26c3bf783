import { setTimeout as sleep } from 'node:timers/promises';
import { Daytona, DaytonaNotFoundError, type Sandbox } from '@daytona/sdk';
import { pidsInCgroup } from '../../bench/memory.ts';
import type { Paddock } from '../support/harness.ts';

/** What a chaos run did and found; `problems` is empty when every promise held. */
export interface ChaosReport {
  readonly kills: Readonly<Record<string, number>>;
  readonly creates: number;
  readonly execs: number;
  /** Requests that failed while something was down; allowed, as long as they say so. */
  readonly failedRequests: number;
  readonly problems: readonly string[];
}

const VICTIMS = ['control', 'runner', 'postgres', 'toolbox'] as const;

/**
 * Creates, executes and deletes in a loop while processes are killed with SIGKILL at random moments, then gives the system ten
 * seconds and compares what the API says with what is there.
 * @param seed makes the sequence of victims and pauses repeatable
 */
export async function chaos(paddock: Paddock, options: { kills: number; workers?: number; seed?: number; log?: (line: string) => void }): Promise<ChaosReport> {
  const { kills: wanted, workers = 3, seed = Date.now() & 0xffff, log = () => {} } = options;
  const random = lcg(seed);
  const daytona = new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey });
  const kills: Record<string, number> = { control: 0, runner: 0, postgres: 0, toolbox: 0 };
  const count = { creates: 0, execs: 0, failed: 0 };
  const live = new Map<string, Sandbox>();
  let running = true;
  log(`seed ${seed}`);

  async function work(worker: number): Promise<void> {
    for (let round = 0; running; round += 1) {
      let sandbox: Sandbox | null = null;
      try {
        sandbox = await daytona.create({ labels: { chaos: String(seed), worker: String(worker) } }, { timeout: 30 });
        count.creates += 1;
        live.set(sandbox.id, sandbox);
        for (let i = 0; i < 5 && running; i += 1) {
          await sandbox.process.executeCommand('echo $$ > pid; true', undefined, undefined, 20);
          count.execs += 1;
        }
        if (round % 3 === 0) {
          await sandbox.stop(30);
          await sandbox.start(30);
        }
        if (round % 4 !== 3) {
          await sandbox.delete(30);
          live.delete(sandbox.id);
        }
      } catch {
        count.failed += 1;
        await sleep(200);
        // A sandbox whose round failed stays for the final comparison, unless there get to be too many.
        if (sandbox !== null && live.size > 12) await sandbox.delete(30).then(() => live.delete(sandbox!.id), () => {});
      }
    }
  }

  const work$ = Array.from({ length: workers }, (_, i) => work(i));
  for (let done = 0; done < wanted;) {
    await sleep(300 + random() * 1700);
    const victim = VICTIMS[Math.floor(random() * VICTIMS.length)]!;
    if (victim === 'toolbox') {
      const ids = [...live.keys()];
      const id = ids[Math.floor(random() * ids.length)];
      const pid = id === undefined ? undefined : toolboxPid(id);
      if (pid === undefined) continue;
      try { process.kill(pid, 'SIGKILL'); } catch { continue; }
    } else if (!paddock.kill9(victim)) {
      continue;
    }
    kills[victim]! += 1;
    done += 1;
    log(`kill ${done}/${wanted}: ${victim}`);
  }
  running = false;
  await Promise.all(work$);
  await sleep(10_000);
  return { kills, creates: count.creates, execs: count.execs, failedRequests: count.failed, problems: await compare(paddock, daytona, seed) };
}

/** The Node process among a sandbox's processes, seen from the host. Init and its shell name the toolbox, too: they carry the script that restarts it. */
function toolboxPid(sandboxId: string): number | undefined {
  return pidsInCgroup(sandboxId).find((pid) => {
    try {
      const [program = '', ...args] = process.getBuiltinModule('node:fs').readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return program.endsWith('/ld.so') && args.some((arg) => arg.includes('toolbox'));
    } catch {
      return false;
    }
  });
}

async function compare(paddock: Paddock, daytona: Daytona, seed: number): Promise<string[]> {
  const problems: string[] = [];
  const all: Sandbox[] = [];
  for await (const sandbox of daytona.list({ labels: { chaos: String(seed) } })) all.push(sandbox);
  await Promise.all(all.map(async (sandbox) => {
    if (!['started', 'stopped', 'error'].includes(sandbox.state ?? '')) problems.push(`${sandbox.id} is still ${sandbox.state} after ten seconds`);
    const alive = await sandbox.process.executeCommand('echo alive', undefined, undefined, 5).then((r) => r.result === 'alive\n', () => false);
    if (alive !== (sandbox.state === 'started')) problems.push(`${sandbox.id} is recorded as ${sandbox.state} but ${alive ? 'answers' : 'does not answer'}`);
    if (sandbox.state === 'error') problems.push(`${sandbox.id} ended in error: ${sandbox.errorReason}`);
  }));
  for (const sandbox of all) {
    await sandbox.delete(30, true).catch((error: unknown) => {
      if (!(error instanceof DaytonaNotFoundError)) problems.push(`delete of ${sandbox.id}: ${String(error)}`);
    });
  }
  for (let i = 0; ; i += 1) {
    const left = paddock.sandboxLeftovers();
    if (left.length === 0) break;
    if (i === 50) {
      problems.push(...left.map((what) => `left over: ${what}`));
      break;
    }
    await sleep(200);
  }
  return problems;
}

function lcg(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
