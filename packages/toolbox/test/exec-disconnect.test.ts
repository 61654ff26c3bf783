import http from 'node:http';
import { expect, test } from 'vitest';
import { eventually, startToolbox } from './toolbox.ts';

test('a command ends when its client goes away', async () => {
  const toolbox = await startToolbox();
  await toolbox.get('/version');
  const body = JSON.stringify({ command: 'sleep 33.01 & sleep 33.01' });
  const request = http.request({ socketPath: toolbox.socketPath, method: 'POST', path: '/process/execute', headers: { 'Content-Length': body.length } });
  request.on('error', () => {});
  request.end(body);
  const running = async () => Number((await toolbox.exec("ps -eo args | grep -c '[s]leep 33.01'")).json.result);
  await eventually(async () => (await running()) === 2);
  request.destroy();
  await eventually(async () => (await running()) === 0);
  expect((await toolbox.exec('echo fine')).json.result).toBe('fine\n');
});
