import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MEMORY_LIMIT_BYTES, memoryBytes, quiet } from './memory.ts';
import { leavesOnly, unusedUid } from './processes.ts';
import { startToolbox, type Toolbox } from './toolbox.ts';

const COMMANDS = 2000;
const PARALLEL = 50;
const UID = unusedUid();

test('2,000 commands at 50 in parallel: none is lost, and memory, descriptors and processes are as at the start', async () => {
  const toolbox = await startToolbox({ uid: UID });
  // Every toolbox loads what commands need, its listener inside and its terminal's behind the first reply.
  await toolbox.exec('true');
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const [memory, descriptors] = [memoryBytes(toolbox), descriptorsOf(toolbox)];
  await storm(toolbox, COMMANDS);
  await quiet();
  expect(memoryBytes(toolbox)).toBeLessThanOrEqual(Math.min(memory * 1.1, MEMORY_LIMIT_BYTES));
  // The connections are the client's, four listeners and pools come with the first command.
  expect(descriptorsOf(toolbox)).toBeLessThanOrEqual(descriptors + PARALLEL + 8);
  await leavesOnly(toolbox, UID, 0);
}, 120_000);

/** Each command says its own number and ends with a code of its own. */
async function storm(toolbox: Toolbox, count: number): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) {
      const reply = await toolbox.exec(`echo ${at}; exit ${at % 7}`);
      expect([reply.status, reply.json]).toEqual([200, expect.objectContaining({ exitCode: at % 7, result: `${at}\n` })]);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

const descriptorsOf = (toolbox: Toolbox): number => readdirSync(`/proc/${toolbox.child.pid}/fd`).length;
