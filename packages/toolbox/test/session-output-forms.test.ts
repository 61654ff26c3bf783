import { expect, test } from 'vitest';
import { startToolbox } from './toolbox.ts';
import { newSession } from './session-support.ts';

const MARKED = '\x01\x01\x01out\n\x02\x02\x02err\n';
const COMMAND = 'echo out; sleep 0.05; echo err >&2';

test.each([
  ['no version', {}, 'combined'], ['an old version', { 'X-Daytona-SDK-Version': '0.26.9' }, 'combined'],
  ['0.27', { 'X-Daytona-SDK-Version': '0.27.0' }, 'marked'], ['0.166', { 'X-Daytona-SDK-Version': 'v0.166.12' }, 'marked'],
  ['0.167', { 'X-Daytona-SDK-Version': '0.167.0' }, 'split'], ['1.0', { 'X-Daytona-SDK-Version': '1.0.0-alpha.1' }, 'split'],
  ['a development build', { 'X-Daytona-SDK-Version': '0.0.0-dev' }, 'split'], ['a version that is no number', { 'X-Daytona-SDK-Version': 'main' }, 'split'],
  ['the header that asks for it', { 'X-Daytona-Split-Output': 'true' }, 'split'],
])('each generation of clients gets the form it knows: %s', async (_, headers, form) => {
  const toolbox = await startToolbox();
  const session = await newSession(toolbox);
  const { json } = await session.exec(COMMAND, {}, headers as Record<string, string>);
  const logs = await session.get(`/command/${json.cmdId}/logs`, headers as Record<string, string>);
  const output = form === 'combined' ? 'out\nerr\n' : MARKED;
  const split = { output, stdout: 'out\n', stderr: 'err\n' };
  expect(json).toEqual({ cmdId: expect.any(String), exitCode: 0, ...(form === 'split' ? split : { output }) });
  if (form === 'split') expect(logs.json).toEqual(split);
  else expect([logs.headers['content-type'], logs.text]).toEqual(['text/plain; charset=utf-8', output]);
});
