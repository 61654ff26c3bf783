import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { auth, echo, ID, later, startRig, type Rig } from './helpers.ts';

/** A toolbox that listens with room for one connection and is busy for the first 700 ms. */
const BUSY = `
const server = require('node:http').createServer((req, res) => { let n = 0; req.on('data', (d) => { n += d.length; }).on('end', () => res.end('got ' + n)); });
server.listen({ path: process.argv[1], backlog: 1 }, () => {
  process.stdout.write('up');
  setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 700), 20);
});`;

let rig: Rig;
beforeAll(async () => { rig = await startRig(echo, { listen: false }); });
afterAll(() => rig.close());

test('requests wait for a toolbox whose queue is full, their bodies unharmed', async () => {
  const child = spawn(process.execPath, ['-e', BUSY, rig.socketPath], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(child.stdout, 'data');
    await later(100);
    const waiting = [1, 2, 3].map(() => connect(rig.socketPath).on('error', () => {}));
    const replies = await Promise.all(Array.from({ length: 8 }, () => rig.send(`/toolbox/${ID}/x`, { method: 'POST', headers: auth, body: 'x'.repeat(200_000) })));
    for (const reply of replies) expect(reply).toMatchObject({ status: 200, text: 'got 200000' });
    for (const socket of waiting) socket.destroy();
  } finally {
    child.kill();
    await once(child, 'exit');
  }
});
