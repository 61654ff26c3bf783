import { expect, test } from 'vitest';
import { eventually, startToolbox, type Toolbox } from './toolbox.ts';

const alive = async (toolbox: Toolbox, mark: string): Promise<boolean> => (await toolbox.exec(`ps -eo args | grep -c '[s]leep ${mark}'`)).json.result.trim() !== '0';

test('a deadline is a 408 with the word timeout, and carries what was printed', async () => {
  const toolbox = await startToolbox();
  const reply = await toolbox.exec('echo so far; sleep 31.01', { timeout: 0.3 });
  expect(reply.status).toBe(408);
  expect(reply.json).toMatchObject({ code: 'PROCESS_EXECUTION_TIMEOUT', source: 'DAYTONA_DAEMON', message: expect.stringContaining('timeout'), details: { output: 'so far\n', outputBytes: 7, outputTruncated: false } });
  await eventually(async () => !(await alive(toolbox, '31.01')));
});

test('a deadline kills the whole group', async () => {
  const toolbox = await startToolbox();
  expect((await toolbox.exec('sleep 32.01 & sleep 32.01 | sleep 32.01', { timeout: 0.3 })).status).toBe(408);
  await eventually(async () => !(await alive(toolbox, '32.01')));
});

test('a deadline is answered though a process in another group holds the output', async () => {
  const toolbox = await startToolbox();
  const before = Date.now();
  expect((await toolbox.exec('setsid sleep 7.01', { timeout: 0.3 })).status).toBe(408);
  expect((await toolbox.exec('setsid sleep 7.01 & exit 0', { timeout: 0.3 })).status).toBe(408);
  expect(Date.now() - before).toBeLessThan(3000);
  await toolbox.exec('pkill -f "sleep 7.01$"');
});

test('0, none and more than a timer holds mean no limit', async () => {
  const toolbox = await startToolbox();
  for (const timeout of [0, null, undefined, 1e9]) expect((await toolbox.exec('sleep 0.1; echo ok', { timeout })).json.result).toBe('ok\n');
});

test('code runs have a deadline, too', async () => {
  const toolbox = await startToolbox();
  const reply = await toolbox.post('/process/code-run', { code: 'print("begun")\nimport time\ntime.sleep(30)', language: 'python', timeout: 1 });
  expect([reply.status, reply.json.code]).toEqual([408, 'PROCESS_EXECUTION_TIMEOUT']);
  expect(reply.json.details.output).toBe('begun\n');
});
