import net from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { freePort, startToolbox } from './toolbox.ts';

test('a request made before the toolbox is up is answered when it is', async () => {
  const toolbox = await startToolbox();
  const reply = await toolbox.post('/init', { token: 'secret' });
  expect(reply.status).toBe(200);
  expect(reply.json.message).toEqual(expect.any(String));
});

test('serves on loopback too', async () => {
  const toolbox = await startToolbox();
  await toolbox.post('/init', { token: 'x' });
  await expect.poll(async () => (await fetch(`http://127.0.0.1:${toolbox.port}/version`).catch(() => null))?.status).toBe(200);
  expect(await (await fetch(`http://127.0.0.1:${toolbox.port}/version`)).json()).toEqual({ version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
});

test('a taken loopback port does not stop the host from getting in', async () => {
  const port = await freePort();
  const occupant = net.createServer().listen(port, '127.0.0.1');
  await once(occupant, 'listening');
  const toolbox = await startToolbox({ port });
  expect((await toolbox.get('/version')).status).toBe(200);
  occupant.close();
});

test('tells its directories', async () => {
  const toolbox = await startToolbox({ env: { HOME: '/root' } });
  expect((await toolbox.get('/work-dir')).json).toEqual({ dir: toolbox.dir });
  expect((await toolbox.get('/user-home-dir')).json).toEqual({ dir: '/root' });
  expect((await toolbox.get('/project-dir')).json).toEqual({ dir: '/root' });
});

test('the home is the work dir where the image names none', async () => {
  const toolbox = await startToolbox({ env: { HOME: '/usr', PADDOCK_HOME_AS_WORKDIR: '1' } });
  expect((await toolbox.get('/work-dir')).json).toEqual({ dir: '/usr' });
  expect((await toolbox.exec('pwd')).json.result).toBe('/usr\n');
});

test('a request in progress is finished after SIGTERM', async () => {
  const toolbox = await startToolbox();
  await toolbox.get('/version');
  const running = toolbox.exec('sleep 0.5; echo done');
  await new Promise((resolve) => setTimeout(resolve, 200));
  const stopped = toolbox.stop();
  expect((await running).json).toEqual({ exitCode: 0, result: 'done\n' });
  expect(await stopped).toBe(0);
});
