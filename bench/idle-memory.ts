import { setTimeout as sleep } from 'node:timers/promises';
import { Daytona } from '@daytona/sdk';
import type { Paddock } from '../e2e/support/harness.ts';
import { pidsInCgroup, privateBytes, rssBytes } from './memory.ts';
import { atMost, type Figure } from './stats.ts';

const COUNT = 10;

/** Private memory of sandboxes that do nothing, and what the server itself takes. */
export async function memory(paddock: Paddock): Promise<Figure[]> {
  console.log('\nMemory');
  const daytona = new Daytona({ apiUrl: paddock.apiUrl, apiKey: paddock.apiKey });
  const sandboxes = await Promise.all(Array.from({ length: COUNT }, () => daytona.create()));
  try {
    await Promise.all(sandboxes.map((sandbox) => sandbox.process.executeCommand('true')));
    await sleep(2_000);
    const each = sandboxes.map((sandbox) => pidsInCgroup(sandbox.id).reduce((sum, pid) => sum + privateBytes(pid), 0) / 2 ** 20);
    const mean = each.reduce((a, b) => a + b, 0) / each.length;
    console.log(`idle sandbox: ${mean.toFixed(1)} MiB private (mean of ${COUNT}, each after one exec; all its processes)`);
    const pids = paddock.pids();
    for (const name of ['supervisor', 'control', 'runner'] as const) {
      console.log(`${name}: RSS ${(rssBytes(pids[name]) / 2 ** 20).toFixed(0)} MiB`);
    }
    return [atMost('idle sandbox, private memory', mean, 15, 'MiB')];
  } finally {
    await Promise.all(sandboxes.map((sandbox) => sandbox.delete()));
  }
}
