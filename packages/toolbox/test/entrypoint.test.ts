import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventually, startToolbox } from './toolbox.ts';

test('the entrypoint is started once, in the work dir, with the variables of the init', async () => {
  const toolbox = await startToolbox();
  const entrypoint = ['sh', '-c', 'echo "$A $PWD"; exit 3'];
  const log = join(toolbox.dir, '.daytona', 'entrypoint.log');
  await toolbox.post('/init', { token: 't', env: { A: 'from init' }, entrypoint });
  await toolbox.post('/init', { token: 't', env: { A: 'again' }, entrypoint });
  await eventually(() => readFileSync(log, 'utf8').endsWith('\n'));
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(readFileSync(log, 'utf8')).toBe(`from init ${toolbox.dir}\n`);
});

test('an entrypoint that does not exist leaves the toolbox running', async () => {
  const toolbox = await startToolbox();
  expect((await toolbox.post('/init', { entrypoint: ['/no/such/program'] })).status).toBe(200);
  expect((await toolbox.get('/version')).status).toBe(200);
});
