import { execFileSync } from 'node:child_process';
import { OPEN_NETWORK } from '@paddock/contract';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FakeHost, HOST, HOST_GUEST, HOST_INNER, INTERNET, METADATA } from './network-support/fake-host.ts';
import type { Agent } from './network-support/fake-host.ts';

/** What no sandbox with an open policy, and no sandbox whose list names it, can reach. */

let host: FakeHost;
let agent: Agent;
let open: Awaited<ReturnType<typeof sandbox>>;
let listed: typeof open;

async function sandbox() {
  const slot = await agent.take();
  return { slot, ...(await host.sandbox(agent, slot)) };
}

beforeAll(async () => {
  host = await FakeHost.start();
  await host.serve('internet', 'listen', '8080');
  await host.serve('guest', 'listen', '8080');
  await host.serve('host', 'listen', '8080');
  agent = await host.agent();
  open = await sandbox();
  await agent.apply(open.slot.index, OPEN_NETWORK);
  listed = await sandbox();
  await agent.apply(listed.slot.index, { blockAll: false, allowList: ['0.0.0.0/0'] });
});
afterAll(() => host.stop());

function inside(box: { user: string; net: string }, command: string): string {
  return execFileSync('nsenter', [`--user=${box.user}`, `--net=${box.net}`, 'sh', '-c', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

async function expectUnreachable(address: string): Promise<void> {
  for (const box of [open, listed]) {
    for (const protocol of ['tcp', 'udp']) {
      const outcome = await host.peer(box.net, protocol, address, '8080');
      expect(outcome, `${protocol} ${address}`).toMatchObject({ ok: false });
    }
  }
}

test('all of it is reachable from the host, and the internet from the sandboxes: what follows means something', async () => {
  for (const address of [HOST, HOST_INNER, HOST_GUEST, METADATA, INTERNET]) {
    expect((await host.peer(host.netns, 'tcp', address, '8080')).ok, address).toBe(true);
  }
  for (const box of [open, listed]) expect((await host.peer(box.net, 'tcp', INTERNET, '8080')).ok).toBe(true);
});

test('host services are unreachable on every address the host has', async () => {
  const uplink = host.run(`ip -j -4 addr show ${host.layout.uplink}`);
  const [{ addr_info: [hostEnd] }] = JSON.parse(uplink) as [{ addr_info: [{ local: string }] }];
  for (const address of [HOST, HOST_INNER, hostEnd.local]) await expectUnreachable(address);
});

test('an address the host gets later is refused too', async () => {
  host.run('ip addr add 203.0.113.50/32 dev eth0');
  host.run(`nft delete table inet ${host.layout.nftTable}`);
  await new Promise((resolve) => setTimeout(resolve, 500));
  await expectUnreachable('203.0.113.50');
});

test('guests of the host on its bridges are unreachable', () => expectUnreachable(HOST_GUEST));

test('the cloud\'s metadata address is unreachable', () => expectUnreachable(METADATA));

test('the router is unreachable', async () => {
  const gateway = inside(open, 'ip -4 route').match(/via (\S+)/)?.[1] ?? '';
  await expectUnreachable(gateway);
});

test('sandboxes do not reach each other, whatever the port', async () => {
  for (const [from, to] of [[open, listed], [listed, open]] as const) {
    host.talk(to.net, 'listen', '2280');
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const port of ['2280', '1', '65535']) expect((await host.peer(from.net, 'tcp', to.slot.address, port)).ok).toBe(false);
    expect((await host.peer(from.net, 'udp', to.slot.address, '2280')).ok).toBe(false);
  }
});

test('nothing outside opens a connection to a sandbox', async () => {
  host.talk(open.net, 'listen', '2281');
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect((await host.peer(open.net, 'tcp', '127.0.0.1', '2281')).ok).toBe(true);
  // The internet as a neighbour that routes the subnet to the host, and the host itself.
  host.run(`ip -n internet route add 10.0.0.0/8 via ${HOST}`);
  const fromInternet = host.run(`nsenter --net=/run/netns/internet busybox nc -w 1 ${open.slot.address} 2281 </dev/null; echo $?`);
  expect(fromInternet.trim()).toBe('1');
  expect(host.run(`busybox nc -w 1 ${open.slot.address} 2281 </dev/null; echo $?`).trim()).toBe('1');
});

test('packets with an address that is not the sandbox\'s own are dropped', async () => {
  // Counted before anything else looks at them, on the host and beyond it.
  host.run('echo "table inet seen { chain early { type filter hook prerouting priority -400; udp dport 8080 counter; }; }" | nft -f -');
  const seen = (): number => Number(/packets (\d+)/.exec(host.run('nft list table inet seen'))?.[1]);
  const gateway = inside(open, 'ip -4 route').match(/via (\S+)/)?.[1] ?? '';
  for (const forged of ['203.0.113.99', listed.slot.address, gateway, HOST]) {
    const before = seen();
    inside(open, `ip addr add ${forged}/32 dev eth0`);
    expect((await host.peer(open.net, 'udp', INTERNET, '8080', forged)).ok).toBe(false);
    inside(open, `ip addr del ${forged}/32 dev eth0`);
    expect(seen(), forged).toBe(before);
  }
  const before = seen();
  expect((await host.peer(open.net, 'udp', INTERNET, '8080', open.slot.address)).ok).toBe(true);
  expect(seen()).toBe(before + 1);
});

test('IPv6 goes nowhere, even when the sandbox\'s root switches it on', async () => {
  inside(open, 'echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6; ip -6 addr add fd00:1::2/64 dev eth0; ip -6 route add default via fd00:1::1 dev eth0');
  host.run('ip -6 addr add fd00:1::1/64 dev eth0; ip -n internet -6 addr add fd00:1::9/64 dev eth0');
  expect((await host.peer(open.net, 'tcp', 'fd00:1::9', '8080')).ok).toBe(false);
  expect(execRouter('ip -6 addr').trim()).toBe('');
});

test('one sandbox cannot fill the table of connections for all', async () => {
  const greedy = await sandbox();
  await agent.apply(greedy.slot.index, OPEN_NETWORK);
  expect((await host.peer(greedy.net, 'spray', INTERNET, '6000')).ok).toBe(true);
  const tracked = Number(execRouter(`grep -c src=${greedy.slot.address} /proc/net/nf_conntrack`));
  expect(tracked).toBeGreaterThan(3000);
  expect(tracked).toBeLessThanOrEqual(4096);
  expect((await host.peer(open.net, 'tcp', INTERNET, '8080')).ok).toBe(true);
});

function execRouter(command: string): string {
  return host.run(`ip netns exec ${host.layout.routerNetns} ${command}`);
}
