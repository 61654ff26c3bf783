import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { leavesOnly, unusedUid } from './processes.ts';
import { startToolbox, type Toolbox } from './toolbox.ts';

const COMMANDS = 2000;
const PARALLEL = 50;
const UID = unusedUid();

test('2,000 commands at 50 in parallel: none is lost, and memory, descriptors and processes are as before', async () => {
  const toolbox = await startToolbox({ uid: UID });
  // The same before: compiled code, which is loaded and kept once, is no growth.
  await storm(toolbox, COMMANDS);
  await quiet();
  const [memory, descriptors] = [memoryBytes(toolbox), descriptorsOf(toolbox)];
  await storm(toolbox, COMMANDS);
  await quiet();
  expect(memoryBytes(toolbox)).toBeLessThanOrEqual(memory * 1.1);
  expect(descriptorsOf(toolbox)).toBeLessThanOrEqual(descriptors + PARALLEL);
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

/** Private memory: the program's own text is shared and comes and goes with the page cache. */
const memoryBytes = (toolbox: Toolbox): number => Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${toolbox.child.pid}/status`, 'utf8'))![1]) * 1024;

const descriptorsOf = (toolbox: Toolbox): number => readdirSync(`/proc/${toolbox.child.pid}/fd`).length;

/** Memory is given back after 10 s of silence. */
const quiet = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 11_500));
