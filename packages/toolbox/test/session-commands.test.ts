import { expect, test } from 'vitest';
import { startToolbox } from './toolbox.ts';

const NEW = { 'X-Daytona-SDK-Version': '0.216.0' };

test('directory, variables, functions and options stay from command to command', async () => {
  const toolbox = await startToolbox();
  expect(await toolbox.post('/process/session', { sessionId: 's' })).toMatchObject({ status: 201, text: '' });
  const run = async (command: string) => (await toolbox.post('/process/session/s/exec', { command }, NEW)).json;
  expect(await run('pwd')).toEqual({ cmdId: expect.any(String), exitCode: 0, output: `\x01\x01\x01${toolbox.dir}\n`, stdout: `${toolbox.dir}\n`, stderr: '' });
  await run('cd /usr; export A=1; b() { echo "b$A"; }; set -o pipefail; shopt -s nullglob 2>/dev/null');
  expect(await run('b; pwd; false | true')).toMatchObject({ exitCode: 1, stdout: 'b1\n/usr\n' });
});
