import { once } from 'node:events';
import net from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { startToolbox } from './toolbox.ts';

async function listen(host: string): Promise<number> {
  for (;;) {
    const port = 3000 + Math.floor(Math.random() * 6999);
    const server = net.createServer().listen(port, host);
    const [error] = await Promise.race([once(server, 'listening'), once(server, 'error')]);
    if (error) continue;
    onTestFinished(() => void server.close());
    return port;
  }
}

test.each(['127.0.0.1', '::', '::1'])('a server on %s is listed and in use', async (host) => {
  const toolbox = await startToolbox();
  const port = await listen(host);
  expect((await toolbox.get('/port')).json.ports).toContain(port);
  expect((await toolbox.get(`/port/${port}/in-use`)).json).toEqual({ isInUse: true });
});

test('a free port is not in use', async () => {
  const toolbox = await startToolbox();
  expect((await toolbox.get('/port/9998/in-use')).json).toEqual({ isInUse: false });
});

test.each(['2999', '10000', '0', 'x', '-1', '3000.5', '+3000', '99999999999'])('the port %s may not be asked for', async (port) => {
  const toolbox = await startToolbox();
  expect((await toolbox.get(`/port/${port}/in-use`)).status).toBe(400);
});
