import { expect, test } from 'vitest';
import { MEMORY_LIMIT_BYTES, memoryBytes, quiet } from './memory.ts';
import { startToolbox } from './toolbox.ts';
import { connect, type Peer } from './websocket.ts';

test('two hundred terminals that print a hundred thousand lines each leave no more than an idle toolbox may cost, though nobody asks anything afterwards', async () => {
  const toolbox = await startToolbox();
  const peers: Peer[] = [];
  // By batches that the listening socket's queue holds.
  while (peers.length < 200) peers.push(...await Promise.all(Array.from({ length: 20 }, (_, at) => connect(toolbox, `/process/pty/create-connect?id=${peers.length + at}`))));
  for (const { socket } of peers) socket.send('stty -opost; seq 100000; exit\r');
  for (const peer of peers) {
    expect((await peer.closed()).code).toBe(1000);
    expect(peer.bytes().includes('\n99999\n100000\n')).toBe(true);
  }
  await quiet();
  expect(memoryBytes(toolbox)).toBeLessThanOrEqual(MEMORY_LIMIT_BYTES);
}, 120_000);
