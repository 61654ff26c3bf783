import { existsSync } from 'node:fs';
import { OPEN_NETWORK } from '@paddock/contract';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeHost, HOST, INTERNET } from './network-support/fake-host.ts';

let host: FakeHost;

beforeEach(async () => {
  host = await FakeHost.start();
});
afterEach(() => host.stop());

// A bridge says "unknown" before it says "up": a link's state is not compared.
const STATE = `{ ip -o link; ip -4 addr; } | sed 's/state [A-Z]*//'; ip route; ip netns | sort; nft list ruleset; find /run/netns; grep /run /proc/self/mountinfo | wc -l
for f in /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/forwarding; do echo $f $(cat $f); done`;

test('the last close leaves the host as it was', async () => {
  const before = host.run(STATE);
  const agent = await host.agent();
  for (let round = 0; round < 3; round += 1) {
    const slots = await Promise.all(Array.from({ length: 10 }, () => agent.take()));
    for (const slot of slots) await agent.apply(slot.index, OPEN_NETWORK);
    for (const slot of slots) await agent.call('release', slot.index);
  }
  await agent.call('close', true);
  await agent.end();
  expect(host.run(STATE)).toBe(before);
  expect(host.run(`find ${host.layout.runDir} -mindepth 2`)).toBe('');
});

test('released slots leave no link, pin or rule behind', async () => {
  const agent = await host.agent();
  const slots = await Promise.all(Array.from({ length: 20 }, () => agent.take()));
  const root = `/proc/${await agent.pid()}/root`;
  for (const slot of slots) await agent.apply(slot.index, { blockAll: false, allowList: ['1.2.3.0/24'] });
  for (const slot of slots) await agent.call('release', slot.index);
  for (const slot of slots) expect(existsSync(root + slot.userNsPath)).toBe(false);
  const links = (): string[] => host.run(`ip netns exec ${host.layout.routerNetns} ip -o link`).match(/\bs\d+@/g) ?? [];
  await expect.poll(() => slots.filter((slot) => links().includes(`s${slot.index}@`)).length, { timeout: 10_000 }).toBe(0);
});

test('a released slot with a process left in it is cut off', async () => {
  const agent = await host.agent();
  await host.serve('internet', 'listen', '8080');
  const slot = await agent.take();
  await agent.apply(slot.index, OPEN_NETWORK);
  const box = await host.sandbox(agent, slot);
  await agent.call('release', slot.index);
  expect((await host.peer(box.net, 'tcp', INTERNET, '8080')).ok).toBe(false);
});

test('a second instance on the host takes another subnet, and neither disturbs the other when it goes', async () => {
  const first = await host.agent();
  await host.serve('internet', 'listen', '8080');
  const neighbour = await host.agentOf('another');
  const [a, b] = [await first.take(), await neighbour.take()];
  expect(a.address.split('.')[1]).not.toBe(b.address.split('.')[1]);
  await first.apply(a.index, OPEN_NETWORK);
  await neighbour.apply(b.index, OPEN_NETWORK);
  const [boxA, boxB] = [await host.sandbox(first, a), await host.sandbox(neighbour, b)];
  for (const box of [boxA, boxB]) expect(await host.peer(box.net, 'tcp', INTERNET, '8080')).toEqual({ ok: true, text: `hello ${HOST}` });
  host.talk(boxB.net, 'listen', '2280');
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect((await host.peer(boxA.net, 'tcp', b.address, '2280')).ok).toBe(false);
  await first.call('close', true);
  expect(await host.peer(boxB.net, 'tcp', INTERNET, '8080')).toEqual({ ok: true, text: `hello ${HOST}` });
  await neighbour.call('close', true);
  expect(host.run('cat /proc/sys/net/ipv4/conf/eth0/forwarding').trim()).toBe('0');
});

test('a configured subnet is used, and a wrong one is refused in words', async () => {
  const agent = await host.agent({ subnet: '172.20.0.0/16' });
  expect((await agent.take()).address).toMatch(/^172\.20\./);
  await agent.call('close', true);
  await expect(host.agent({ subnet: '172.20.0.0/24' })).rejects.toThrow('network.subnet must be an IPv4 /16');
  expect(host.run('ip netns')).not.toContain('paddock');
});
