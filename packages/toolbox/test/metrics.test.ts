import { expect, test } from 'vitest';
import { startToolbox } from './toolbox.ts';

test('what the sandbox was given and uses', async () => {
  const toolbox = await startToolbox({ env: { PADDOCK_MEMORY_BYTES: String(2 ** 30), PADDOCK_CPUS: '1.5', PADDOCK_DISK_BYTES: String(3 * 2 ** 30) } });
  const { status, json } = await toolbox.get('/system/metrics');
  expect(status).toBe(200);
  expect(json).toMatchObject({ cpuCount: 2, memTotal: 2 ** 30, diskTotal: 3 * 2 ** 30, timestamp: expect.stringMatching(/Z$/) });
  expect(json.cpuUsedPct).toBeGreaterThanOrEqual(0);
  expect(json.cpuUsedPct).toBeLessThanOrEqual(100);
  expect(json.memUsed).toBeGreaterThan(5 * 2 ** 20);
  expect(Math.abs(json.timestampUnix - Date.now() / 1000)).toBeLessThan(5);
});

test('without limits the machine\'s own numbers count', async () => {
  const toolbox = await startToolbox();
  const { json } = await toolbox.get('/system/metrics');
  expect(json.diskUsed + json.diskFree).toBeLessThanOrEqual(json.diskTotal);
  expect(json.memTotal).toBeGreaterThan(json.memUsed);
});

test('a busy sandbox shows it', async () => {
  const toolbox = await startToolbox({ env: { PADDOCK_CPUS: '1' } });
  const busy = toolbox.exec('timeout 1.5 sh -c "while :; do :; done"');
  await new Promise((resolve) => setTimeout(resolve, 300));
  const { json } = await toolbox.get('/system/metrics');
  await busy;
  expect(json.cpuUsedPct).toBeGreaterThan(20);
});
