import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { api } from '../sdk/support.ts';
import { OPTIONS, openSsh, program, until, type Ssh } from './support.ts';

/** Who gets in, what those read who do not, and what ends a connection. */
let ssh: Ssh;
beforeAll(async () => { ssh = await openSsh(); });
afterAll(() => ssh.close());

const enter = (token: string) => program('ssh', [...OPTIONS, '-p', ssh.port, `${token}@localhost`, 'echo in']).ended;
const REFUSED = { code: 255, out: '', err: expect.stringContaining('This SSH access token is unknown, was revoked or has expired.') };

test('the SDK creates, validates and revokes an access', async () => {
  const access = await ssh.sandbox.createSshAccess(5);
  expect(access).toMatchObject({ sandboxId: ssh.sandbox.id, token: expect.stringMatching(/^[A-Za-z0-9]{32}$/) });
  expect(await ssh.sandbox.validateSshAccess(access.token)).toMatchObject({ valid: true, sandboxId: ssh.sandbox.id });
  expect((await enter(access.token)).out).toBe('in\n');
  await ssh.sandbox.revokeSshAccess(access.token);
  expect((await ssh.sandbox.validateSshAccess(access.token)).valid).toBe(false);
  expect(await enter(access.token)).toMatchObject(REFUSED);
});

test('unknown and expired tokens get a sentence', async () => {
  expect(await enter('Z'.repeat(32))).toMatchObject(REFUSED);
  const { token } = (await (await api(`/sandbox/${ssh.sandbox.id}/ssh-access?expiresInMinutes=0.001`, { method: 'POST' })).json()) as { token: string };
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(await enter(token)).toMatchObject(REFUSED);
});

test('a new access leaves open connections alone, revoking ends them with a sentence', async () => {
  const { token } = await ssh.sandbox.createSshAccess();
  const run = program('ssh', [...OPTIONS, '-p', ssh.port, `${token}@localhost`, 'echo in; cat; echo out']);
  await until(() => run.out() === 'in\n', 'the command runs');
  const second = await ssh.sandbox.createSshAccess();
  run.child.stdin.write('still\n');
  await until(() => run.out() === 'in\nstill\n', 'the connection works on');
  await ssh.sandbox.revokeSshAccess(second.token);
  expect(await run.ended).toMatchObject({ code: 255, err: expect.stringContaining('This SSH access was revoked.') });
});

test('`/ssh` of the toolbox is not to be had by HTTP', async () => {
  const { proxyToolboxUrl } = (await (await api('/config', { key: null })).json()) as { proxyToolboxUrl: string };
  for (const path of ['ssh', 'proxy/2280/ssh', '%73sh']) {
    const reply = await fetch(`${proxyToolboxUrl}/${ssh.sandbox.id}/${path}`, { headers: { Authorization: `Bearer ${inject('apiKey')}` } });
    expect(reply.status, path).toBe(404);
  }
});

test('a stop ends connections, and then says that the sandbox is stopped', async () => {
  const { token } = await ssh.sandbox.createSshAccess();
  const run = program('ssh', [...OPTIONS, '-p', ssh.port, `${token}@localhost`, 'echo in; cat']);
  await until(() => run.out() === 'in\n', 'the command runs');
  await ssh.sandbox.stop();
  expect((await run.ended).code).toBe(255);
  expect((await enter(token)).err).toContain('is stopped. Start it, then connect again.');
  await ssh.sandbox.start();
  expect((await enter(token)).out).toBe('in\n');
});
