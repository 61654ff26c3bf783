import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { createServer } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { auth, echo, ID, startRig, until, type Rig } from './helpers.ts';

let rig: Rig;
beforeAll(async () => { rig = await startRig(echo, { listen: false }); });
afterAll(() => rig.close());

test.each(['creating', 'starting', 'stopping', 'stopped', 'archived', 'error', 'paused', 'destroying'] as const)('%s: 400, asking whether it is started', async (state) => {
  rig.backend.set(ID, { state });
  for (const host of [undefined, rig.host(3000)]) {
    const reply = await rig.send(`/toolbox/${ID}/version`, { headers: auth, ...(host === undefined ? {} : { host }) });
    expect(reply.status).toBe(400);
    expect(reply.json).toMatchObject({ statusCode: 400, error: 'Bad Request', source: 'DAYTONA_PROXY' });
    expect(reply.json['message']).toBe(`bad request: sandbox ${ID} is ${state}. Is the Sandbox started?`);
  }
  expect((await rig.send(`/toolbox/${ID}/version`)).status).toBe(401);
});

test('in a state that may or may not run, the dial decides', async () => {
  rig.backend.set(ID, { state: 'resizing' });
  expect((await rig.send(`/toolbox/${ID}/version`, { headers: auth })).status).toBe(400);
});

test('started but nobody listens: 502 with a JSON body', async () => {
  rig.backend.set(ID, { state: 'started' });
  const reply = await rig.send(`/toolbox/${ID}/version`, { method: 'POST', headers: auth, body: 'x'.repeat(500_000) });
  expect(reply.status).toBe(502);
  expect(reply.json).toMatchObject({ statusCode: 502, code: 'BAD_GATEWAY', source: 'DAYTONA_PROXY' });
});

test('a toolbox that comes back is reached without delay; kept connections of the one before do no harm', async () => {
  mkdirSync(dirname(rig.socketPath), { recursive: true });
  for (let round = 0; round < 5; round += 1) {
    const toolbox = createServer(echo);
    await new Promise<void>((resolve) => toolbox.listen(rig.socketPath, resolve));
    for (const method of ['GET', 'POST']) expect((await rig.send(`/toolbox/${ID}/version`, { method, headers: auth, body: 'x' })).status).toBe(200);
    toolbox.closeAllConnections();
    await new Promise((resolve) => toolbox.close(resolve));
  }
});

test('stopping closes the kept connections', async () => {
  const toolbox = createServer({ keepAliveTimeout: 60_000 }, echo);
  let open = 0;
  toolbox.on('connection', (socket) => { open += 1; socket.once('close', () => { open -= 1; }); });
  await new Promise<void>((resolve) => toolbox.listen(rig.socketPath, resolve));
  await rig.send(`/toolbox/${ID}/version`, { headers: auth });
  await rig.send(`/toolbox/${ID}/version`, { headers: auth });
  expect(open).toBe(1);
  rig.backend.set(ID, { state: 'stopping' });
  await until(() => open === 0);
  await new Promise((resolve) => toolbox.close(resolve));
});
