import { OPEN_NETWORK } from '@paddock/contract';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeHost, HOST, HOST_INNER, INTERNET } from './network-support/fake-host.ts';
import type { Agent } from './network-support/fake-host.ts';

/** Other programs on the host: firewalls that drop, tools that flush, neighbours that would use the host as a router. */

let host: FakeHost;
let agent: Agent;

beforeEach(async () => {
  host = await FakeHost.start();
  await host.serve('internet', 'listen', '8080');
  await host.serve('host', 'listen', '8080');
});
afterEach(() => host.stop());

async function sandbox() {
  const slot = await agent.take();
  await agent.apply(slot.index, OPEN_NETWORK);
  const { net } = await host.sandbox(agent, slot);
  return async (address: string): Promise<boolean> => (await host.peer(net, 'tcp', address, '8080')).ok;
}

const DOCKER = `
table ip filter {
  chain DOCKER-USER { counter return; }
  chain FORWARD { type filter hook forward priority filter; policy drop; counter jump DOCKER-USER; }
}`;
const PLAIN = 'table inet firewall { chain onward { type filter hook forward priority filter; policy drop; }; }';

test.each([['Docker\'s', DOCKER, 'ip filter DOCKER-USER'], ['a plain one', PLAIN, 'inet firewall onward']])(
  'sandboxes get out past a firewall that drops what it forwards: %s', async (_, rules, chain) => {
    host.run(`echo '${rules}' | nft -f -`);
    agent = await host.agent();
    const reaches = await sandbox();
    expect(await reaches(INTERNET)).toBe(true);
    expect(host.run(`nft list chain ${chain}`)).toContain(host.layout.uplink);
    await agent.call('close', true);
    expect(host.run('nft list ruleset')).not.toContain('pdk');
  });

test('a firewall that comes later is passed within seconds', async () => {
  agent = await host.agent();
  const reaches = await sandbox();
  host.run(`echo '${DOCKER}' | nft -f -`);
  await expect.poll(() => reaches(INTERNET), { timeout: 8000 }).toBe(true);
  expect(host.run('nft list chain ip filter DOCKER-USER')).toContain(host.layout.uplink);
});

test('a flush of the host\'s rules opens nothing, and translation is back within seconds', async () => {
  agent = await host.agent();
  const reaches = await sandbox();
  host.run('nft flush ruleset');
  for (const address of [HOST, HOST_INNER]) expect(await reaches(address)).toBe(false);
  await expect.poll(() => reaches(INTERNET), { timeout: 8000 }).toBe(true);
  expect(await reaches(HOST)).toBe(false);
});

test('a host that was no router becomes none for its neighbours', async () => {
  agent = await host.agent();
  const reaches = await sandbox();
  expect(await reaches(INTERNET)).toBe(true);
  expect(host.run('cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/br0/forwarding').split('\n').slice(0, 2)).toEqual(['0', '0']);
  // The internet asks the host to carry it to the guests on its bridge.
  host.run(`ip -n internet route add 172.30.0.0/24 via ${HOST}`);
  await host.serve('guest', 'listen', '8080');
  expect((await host.peer(host.netns, 'tcp', '172.30.0.2', '8080')).ok).toBe(true);
  expect(host.run('nsenter --net=/run/netns/internet busybox nc -w 1 172.30.0.2 8080 </dev/null; echo $?').trim()).toBe('1');
});

test('somebody else\'s forwarding stays as it is', async () => {
  host.run('echo 1 > /proc/sys/net/ipv4/ip_forward');
  agent = await host.agent();
  expect(host.run(`nft list table inet ${host.layout.nftTable}`)).not.toContain('pdk*');
  expect(await (await sandbox())(INTERNET)).toBe(true);
  await agent.call('close', true);
  expect(host.run('cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/eth0/forwarding').trim()).toBe('1\n1');
});

test('a link that goes out later is forwarded through', async () => {
  agent = await host.agent();
  const reaches = await sandbox();
  host.run('ip route del default; ip link set eth0 down; ip link set eth0 name wan0; ip link set wan0 up; echo 0 > /proc/sys/net/ipv4/conf/wan0/forwarding');
  host.run(`ip route add default via ${INTERNET}`);
  await expect.poll(() => reaches(INTERNET), { timeout: 8000 }).toBe(true);
});
