import { OPEN_NETWORK } from '@paddock/contract';
import type { NetworkPolicy } from '@paddock/contract';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ELSEWHERE, FakeHost, INTERNET } from './network-support/fake-host.ts';
import type { Agent, Talk } from './network-support/fake-host.ts';

let host: FakeHost;
let agent: Agent;

beforeAll(async () => {
  host = await FakeHost.start();
  for (const address of [INTERNET, ELSEWHERE]) await host.serve('internet', 'listen', '8080', address);
  agent = await host.agent();
});
afterAll(() => host.stop());

const BLOCKED: NetworkPolicy = { blockAll: true, allowList: null };
const only = (...allowList: string[]): NetworkPolicy => ({ blockAll: false, allowList });

async function sandbox(policy: NetworkPolicy) {
  const slot = await agent.take();
  await agent.apply(slot.index, policy);
  const box = await host.sandbox(agent, slot);
  const reaches = async (address: string): Promise<boolean> => {
    const [tcp, udp] = [await host.peer(box.net, 'tcp', address, '8080'), await host.peer(box.net, 'udp', address, '8080')];
    expect(udp.ok, `udp and tcp to ${address} differ`).toBe(tcp.ok);
    return tcp.ok;
  };
  return { slot, box, reaches, become: (next: NetworkPolicy) => agent.apply(slot.index, next) };
}

test('blockAll reaches nothing, and fails at once', async () => {
  const { box, reaches } = await sandbox(BLOCKED);
  expect(await reaches(INTERNET)).toBe(false);
  expect(await host.peer(box.net, 'tcp', INTERNET, '8080')).toEqual({ ok: false, code: 'ECONNREFUSED' });
});

test('blockAll wins over a list', async () => {
  const { reaches } = await sandbox({ blockAll: true, allowList: [`${INTERNET}/32`] });
  expect(await reaches(INTERNET)).toBe(false);
});

test('a list from the start reaches its blocks only', async () => {
  const { reaches } = await sandbox(only('198.51.100.0/24', '203.0.113.7/32'));
  expect(await reaches(ELSEWHERE)).toBe(true);
  expect(await reaches(INTERNET)).toBe(false);
});

test('an empty list reaches nothing', async () => {
  const { reaches } = await sandbox(only());
  expect(await reaches(INTERNET)).toBe(false);
});

test('a list may nest, repeat and have host bits', async () => {
  const { reaches, become } = await sandbox(only('192.0.2.77/24', '192.0.2.1/32', '192.0.0.0/16', '192.0.2.1/32', '1.1.1.1/32'));
  expect(await reaches(INTERNET)).toBe(true);
  expect(await reaches(ELSEWHERE)).toBe(false);
  await become(only('192.0.2.0/31', '198.51.100.9/30'));
  expect([await reaches(INTERNET), await reaches(ELSEWHERE)]).toEqual([true, true]);
});

test('policies change at run time, in every direction', async () => {
  const { reaches, become } = await sandbox(OPEN_NETWORK);
  const steps: [NetworkPolicy, boolean, boolean][] = [
    [BLOCKED, false, false],
    [only(`${INTERNET}/32`), true, false],
    [only(`${ELSEWHERE}/32`), false, true],
    [OPEN_NETWORK, true, true],
    [only('0.0.0.0/0'), true, true],
    [only('0.0.0.0/0'), true, true],
    [BLOCKED, false, false],
    [OPEN_NETWORK, true, true],
  ];
  for (const [policy, internet, elsewhere] of steps) {
    await become(policy);
    expect([await reaches(INTERNET), await reaches(ELSEWHERE)], JSON.stringify(policy)).toEqual([internet, elsewhere]);
  }
});

async function expectTalking(talk: Talk): Promise<void> {
  talk.say('still here');
  expect(await talk.hear()).toBe('still here');
}

test.each([['blockAll', BLOCKED], ['a list without the peer', only(`${ELSEWHERE}/32`)]])('%s cuts connections that exist', async (_, policy) => {
  const { box, become } = await sandbox(OPEN_NETWORK);
  const talk = host.talk(box.net, 'hold', INTERNET, '8080');
  expect(await talk.hear()).toMatch(/^hello/);
  await expectTalking(talk);
  await become(policy);
  talk.say('gone?');
  expect(await talk.hear()).toBe('closed ECONNRESET');
});

test('a connection to a peer that stays allowed lives on', async () => {
  const { box, become } = await sandbox(OPEN_NETWORK);
  const talk = host.talk(box.net, 'hold', INTERNET, '8080');
  expect(await talk.hear()).toMatch(/^hello/);
  await become(only(`${INTERNET}/32`));
  await expectTalking(talk);
});

test('one sandbox\'s policy is not another\'s', async () => {
  const [open, blocked, listed] = [await sandbox(OPEN_NETWORK), await sandbox(BLOCKED), await sandbox(only(`${INTERNET}/32`))];
  expect([await open.reaches(ELSEWHERE), await blocked.reaches(ELSEWHERE), await listed.reaches(ELSEWHERE)]).toEqual([true, false, false]);
});

test('a released slot reaches nothing, and its index waits its turn', async () => {
  const { slot, reaches } = await sandbox(OPEN_NETWORK);
  expect(await reaches(INTERNET)).toBe(true);
  await agent.call('release', slot.index);
  await agent.call('release', slot.index);
  expect(await reaches(INTERNET)).toBe(false);
  expect((await agent.take()).index).not.toBe(slot.index);
});

test('a policy that is no list of blocks is refused and changes nothing', async () => {
  const { reaches, become } = await sandbox(only(`${INTERNET}/32`));
  await expect(become(only('not a block/8'))).rejects.toThrow('not an IPv4 block');
  expect(await reaches(INTERNET)).toBe(true);
});
