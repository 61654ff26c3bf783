import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { connect, type Peer } from './websocket.ts';
import { startToolbox } from './toolbox.ts';

const count = (peer: Peer, text: string): number => peer.bytes().toString().split(text).length - 1;

test('the last bytes come before the close, every time', async () => {
  const toolbox = await startToolbox();
  await Promise.all(Array.from({ length: 20 }, async (_, at) => {
    const peer = await connect(toolbox, `/process/pty/create-connect?id=tail-${at}`);
    peer.socket.send('seq 1 20000; exit\r');
    await peer.closed();
    expect(peer.bytes().toString()).toContain('19999\r\n20000\r\n');
  }));
});

test('a background process that keeps the terminal does not keep the close back', async () => {
  const toolbox = await startToolbox();
  const peer = await connect(toolbox, '/process/pty/create-connect?id=one');
  peer.socket.send("(trap '' HUP; exec sleep 5) & exit 0\r");
  const startedAt = Date.now();
  expect((await peer.closed()).code).toBe(1000);
  expect(Date.now() - startedAt).toBeLessThan(3000);
});

test('no byte is lost when a client is slower than the program, and memory stays', async () => {
  const toolbox = await startToolbox();
  const rss = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${toolbox.child.pid}/status`, 'utf8'))![1]) / 1024;
  const peer = await connect(toolbox, '/process/pty/create-connect?id=flood');
  await peer.sees(/[#$] /);
  const before = rss();
  peer.socket.send('stty -opost; seq 1 3000000; exit\r');
  let highest = 0;
  for (let pause = 0; pause < 8; pause++) {
    peer.socket.pause();
    await sleep(100);
    peer.socket.resume();
    await sleep(50);
    highest = Math.max(highest, rss());
  }
  expect((await peer.closed()).code).toBe(1000);
  expect(peer.bytes().length).toBeGreaterThan(22_888_896);
  expect(peer.bytes().toString()).toContain('\n2999999\n3000000\n');
  expect(highest - before).toBeLessThan(40);
});

test('a client that reads nothing is closed with 1008 and holds the others up for a moment only', async () => {
  const toolbox = await startToolbox();
  const stuck = await connect(toolbox, '/process/pty/create-connect?id=shared');
  const reader = await connect(toolbox, '/process/pty/shared/connect');
  stuck.socket.pause();
  reader.socket.send('stty -opost; seq 1 1000000; echo e$((1+1))nd\r');
  await reader.sees('e2nd');
  stuck.socket.resume();
  expect((await stuck.closed()).code).toBe(1008);
  reader.socket.send('exit\r');
  expect((await reader.closed()).code).toBe(1000);
});

test('one frame holds at most 64 KiB of input', async () => {
  const toolbox = await startToolbox();
  const peer = await connect(toolbox, '/process/pty/create-connect?id=one');
  peer.socket.send('stty raw -echo; head -c 65536 | sha256sum; stty sane\r');
  await sleep(300);
  peer.socket.send(Buffer.alloc(64 * 1024, 'x'));
  await peer.sees('1f8745f0d2d1387ec1af2211a3cf417b2e9e885e853472649c1d979d0e9370e3');
  peer.socket.send(Buffer.alloc(64 * 1024 + 1, 'x'));
  expect((await peer.closed()).code).toBe(1009);
  expect((await toolbox.get('/process/pty/one')).status).toBe(200);
});

test('input that no program reads waits with the client', async () => {
  const toolbox = await startToolbox();
  const peer = await connect(toolbox, '/process/pty/create-connect?id=one');
  peer.socket.send('stty raw -echo; sleep 1; head -c 8388608 | wc -c; exit\r');
  await sleep(300);
  for (let at = 0; at < 128; at++) peer.socket.send(Buffer.alloc(64 * 1024, 'x'));
  await peer.sees('8388608');
});

test('the scrollback keeps the latest lines whole', async () => {
  const toolbox = await startToolbox();
  const first = await connect(toolbox, '/process/pty/create-connect?id=one');
  first.socket.send('stty -opost -echo; seq 100000 199999; echo e$((1+1))nd\r');
  await first.sees('e2nd');
  const second = await connect(toolbox, '/process/pty/one/connect?replay=true');
  await second.sees('e2nd');
  const lines = second.bytes().toString().split('\n');
  expect(lines.length).toBeGreaterThan(15_000);
  expect(lines[0]).toMatch(/^\d{6}$/);
  expect(second.bytes().length).toBeLessThanOrEqual(128 * 1024);
  expect(count(second, '199999')).toBe(1);
});

test('two hundred terminals at once, each with its own echo', async () => {
  const toolbox = await startToolbox();
  const peers: Peer[] = [];
  // By batches that the listening socket's queue holds.
  while (peers.length < 200) peers.push(...await Promise.all(Array.from({ length: 20 }, (_, at) => connect(toolbox, `/process/pty/create-connect?id=${peers.length + at}`))));
  expect((await toolbox.get('/process/pty')).json.sessions.length).toBe(200);
  await Promise.all(peers.map(async (peer, at) => {
    peer.socket.send(`echo "<$((${at}+1000))>"; exit\r`);
    expect((await peer.closed()).code).toBe(1000);
    expect(peer.bytes().toString()).toContain(`<${at + 1000}>`);
  }));
  expect((await toolbox.get('/process/pty')).json.sessions).toEqual([]);
});
