import { OPEN_NETWORK } from '@paddock/contract';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ELSEWHERE, FakeHost, INTERNET } from './network-support/fake-host.ts';
import type { Agent } from './network-support/fake-host.ts';

let host: FakeHost;
let agent: Agent;
let resolver: string;

beforeAll(async () => {
  host = await FakeHost.start();
  await host.serve('internet', 'answer', INTERNET);
  // The first server refuses: nobody listens there. The second answers.
  agent = await host.agent({ dns: [ELSEWHERE, INTERNET] });
  resolver = (await agent.call('resolver')) as string;
});
afterAll(() => host.stop());

async function sandbox(policy = OPEN_NETWORK) {
  const slot = await agent.take();
  await agent.apply(slot.index, policy);
  const box = await host.sandbox(agent, slot);
  return { slot, ask: (name: string, protocol = 'udp') => host.peer(box.net, 'dns', resolver, name, protocol), box };
}

test.each(['udp', 'tcp'])('a name is resolved over %s by the next server when one is down', async (protocol) => {
  const { ask } = await sandbox();
  expect(await ask('example.test', protocol)).toEqual({ ok: true, text: '203.0.113.7' });
});

test('an answer that is too long for UDP is fetched over TCP', async () => {
  const { ask } = await sandbox();
  expect(await ask('big.example.test')).toEqual({ ok: true, text: '203.0.113.7' });
});

test('many questions at once are all answered', async () => {
  const { ask } = await sandbox();
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => ask(`n${n}.example.test`)));
  expect(answers.every((answer) => answer.ok)).toBe(true);
});

test('a blocked sandbox resolves nothing: names carry data out', async () => {
  const { ask } = await sandbox({ blockAll: true, allowList: null });
  for (const protocol of ['udp', 'tcp']) expect((await ask('example.test', protocol)).ok).toBe(false);
});

test('a sandbox with a list resolves only when the list covers every upstream server', async () => {
  const { ask, slot } = await sandbox({ blockAll: false, allowList: [`${INTERNET}/32`] });
  expect((await ask('example.test')).ok).toBe(false);
  await agent.apply(slot.index, { blockAll: false, allowList: [`${INTERNET}/32`, `${ELSEWHERE}/32`] });
  expect((await ask('example.test')).ok).toBe(true);
  await agent.apply(slot.index, { blockAll: false, allowList: ['0.0.0.0/0'] });
  expect((await ask('example.test', 'tcp')).ok).toBe(true);
});

test('the resolver answers nobody but sandboxes', async () => {
  expect((await host.peer(host.netns, 'dns', resolver, 'example.test', 'udp')).ok).toBe(false);
  expect((await host.peer(host.netns, 'dns', resolver, 'example.test', 'tcp')).ok).toBe(false);
});

test('a server that is silent costs one question half a second, not every question', async () => {
  const { ask } = await sandbox();
  host.run(`ip netns exec internet nft 'add table inet mute; add chain inet mute in { type filter hook input priority 0; }; add rule inet mute in ip daddr ${ELSEWHERE} drop'`);
  expect((await ask('first.example.test')).ok).toBe(true);
  const started = performance.now();
  for (let n = 0; n < 5; n += 1) expect((await ask(`n${n}.example.test`)).ok).toBe(true);
  expect(performance.now() - started).toBeLessThan(2000);
});

test('a host without servers gives an error at once, not a silence', async () => {
  const other = await FakeHost.start();
  try {
    const lonely = await other.agent({ dns: [] });
    const slot = await lonely.take();
    await lonely.apply(slot.index, OPEN_NETWORK);
    const box = await other.sandbox(lonely, slot);
    expect(await other.peer(box.net, 'dns', (await lonely.call('resolver')) as string, 'example.test', 'udp')).toEqual({ ok: false, code: 'ESERVFAIL' });
  } finally {
    other.stop();
  }
});
