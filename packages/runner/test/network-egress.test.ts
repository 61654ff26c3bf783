import { execFileSync } from 'node:child_process';
import { OPEN_NETWORK } from '@paddock/contract';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FakeHost, HOST, INTERNET } from './network-support/fake-host.ts';
import type { Agent } from './network-support/fake-host.ts';

let host: FakeHost;
let agent: Agent;

beforeAll(async () => {
  host = await FakeHost.start();
  await host.serve('internet', 'listen', '8080');
  agent = await host.agent();
});
afterAll(() => host.stop());

async function sandbox() {
  const slot = await agent.take();
  const box = await host.sandbox(agent, slot);
  return { slot, box };
}

test('a sandbox reaches the internet under the host\'s address', async () => {
  const { slot, box } = await sandbox();
  await agent.apply(slot.index, OPEN_NETWORK);
  expect(await host.peer(box.net, 'tcp', INTERNET, '8080')).toEqual({ ok: true, text: `hello ${HOST}` });
  expect(await host.peer(box.net, 'udp', INTERNET, '8080')).toEqual({ ok: true, text: `hello ${HOST}` });
});

test('nothing leaves a slot before a policy is applied', async () => {
  const { box } = await sandbox();
  expect(await host.peer(box.net, 'tcp', INTERNET, '8080')).toEqual({ ok: false, code: 'ECONNREFUSED' });
  expect((await host.peer(box.net, 'udp', INTERNET, '8080')).ok).toBe(false);
});

test('the slot is ready: ids, address, MTU of the uplink, loopback, ports and ping without privilege', async () => {
  const { slot, box } = await sandbox();
  const inside = (command: string): string =>
    execFileSync('nsenter', [`--user=${box.user}`, `--net=${box.net}`, 'sh', '-c', command], { encoding: 'utf8' });
  expect(inside('cat /proc/self/uid_map /proc/self/gid_map').trim().split(/\s+/)).toEqual([
    '0', String(slot.idBase), '65536', '0', String(slot.idBase), '65536',
  ]);
  expect(slot.idBase).toBe(0x7000_0000 + slot.index * 65_536);
  const addresses = JSON.parse(inside('ip -j addr')) as { ifname: string; mtu: number; addr_info: { local: string }[] }[];
  expect(addresses.map((link) => [link.ifname, link.addr_info.map(({ local }) => local)])).toEqual([
    ['lo', ['127.0.0.1', '::1']],
    ['eth0', [slot.address]],
  ]);
  expect(addresses[1]?.mtu).toBe(1400);
  expect(inside('cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range').trim().split(/\s+/)).toEqual(['0', '0', '65535']);
});

test('the network namespace belongs to the sandbox\'s user namespace: its root makes links and rules', async () => {
  const { box } = await sandbox();
  const inside = ['nsenter', `--user=${box.user}`, `--net=${box.net}`, '--'];
  execFileSync(inside[0] as string, [...inside.slice(1), 'ip', 'link', 'add', 'd0', 'type', 'bridge']);
  execFileSync(inside[0] as string, [...inside.slice(1), 'nft', 'add', 'table', 'inet', 'own']);
});

test('a burst of slots is served from the pool and behind it', async () => {
  const slots = await Promise.all(Array.from({ length: 30 }, () => agent.take()));
  expect(new Set(slots.map((slot) => slot.index)).size).toBe(30);
  for (const slot of slots) await agent.call('release', slot.index);
});

test('packets of a sandbox cross the walls fast enough', async () => {
  const { slot, box } = await sandbox();
  await agent.apply(slot.index, OPEN_NETWORK);
  const outcome = await host.peer(box.net, 'rate', INTERNET, '8080');
  console.log(`sandbox ← internet: ${outcome.megabytesPerSecond} MB/s`);
  expect(outcome.megabytesPerSecond).toBeGreaterThan(50);
});
