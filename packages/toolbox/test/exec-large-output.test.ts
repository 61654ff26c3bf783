import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { startToolbox } from './toolbox.ts';

const peakKiB = (pid: number): number => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);

test('long output comes whole, and takes no memory of its size', async () => {
  const toolbox = await startToolbox();
  await toolbox.exec('true');
  const before = peakKiB(toolbox.child.pid!);
  const { json } = await toolbox.exec('seq 1 8000000; echo ä; exit 5');
  expect(json.exitCode).toBe(5);
  expect(json.result.length).toBe(62_888_896 + 2);
  expect(json.result.slice(-20)).toBe('999\n8000000\nä\n'.padStart(20, json.result.slice(-20)));
  expect(peakKiB(toolbox.child.pid!) - before).toBeLessThan(64 * 1024);
});

test('characters survive where long output is cut into pieces', async () => {
  const toolbox = await startToolbox();
  const { json } = await toolbox.exec(`python3 -c "print('aä€😀\\"' * 700000)"`);
  expect(json.result === `${'aä€😀"'.repeat(700_000)}\n`).toBe(true);
});

test('output without end is stopped at the limit with a clear error', async () => {
  const toolbox = await startToolbox();
  const reply = await toolbox.exec('yes paddock-endless');
  expect([reply.status, reply.json.code]).toEqual([400, 'BAD_REQUEST']);
  expect(reply.json.message).toContain('512 MiB');
  expect((await toolbox.exec("ps -eo args | grep -c '[y]es paddock-endless'")).json.result).toBe('0\n');
});
