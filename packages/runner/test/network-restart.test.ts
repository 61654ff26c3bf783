import { OPEN_NETWORK } from '@paddock/contract';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeHost, INTERNET } from './network-support/fake-host.ts';

/** The runner is killed or stopped while sandboxes run; its successor takes over. */

let host: FakeHost;

beforeEach(async () => {
  host = await FakeHost.start();
  await host.serve('internet', 'listen', '8080');
  await host.serve('internet', 'answer', INTERNET);
});
afterEach(() => host.stop());

test.each(['kill', 'close'])('sandboxes keep connections and policies over a %s of the runner', async (how) => {
  const first = await host.agent();
  const [open, listed, doomed] = [await first.take(), await first.take(), await first.take()];
  await first.apply(open.index, OPEN_NETWORK);
  await first.apply(listed.index, { blockAll: false, allowList: [`${INTERNET}/32`, '203.0.113.0/24'] });
  await first.apply(doomed.index, OPEN_NETWORK);
  const [openBox, listedBox, doomedBox] = [await host.sandbox(first, open), await host.sandbox(first, listed), await host.sandbox(first, doomed)];
  const talk = host.talk(openBox.net, 'hold', INTERNET, '8080');
  expect(await talk.hear()).toMatch(/^hello/);

  if (how === 'kill') await first.kill();
  else {
    await first.call('close', false);
    await first.end();
  }
  talk.say('without a runner');
  expect(await talk.hear()).toBe('without a runner');
  expect((await host.peer(listedBox.net, 'tcp', INTERNET, '8080')).ok).toBe(true);

  const second = await host.agent();
  await second.call('adopt', [open.index, listed.index]);
  talk.say('with the next one');
  expect(await talk.hear()).toBe('with the next one');
  expect((await host.peer(openBox.net, 'tcp', INTERNET, '8080')).ok).toBe(true);
  expect((await host.peer(openBox.net, 'dns', (await second.call('resolver')) as string, 'example.test', 'udp')).ok).toBe(true);
  // A slot that nobody adopted is cut off; its index is free again.
  expect((await host.peer(doomedBox.net, 'tcp', INTERNET, '8080')).ok).toBe(false);

  // The successor knows what it adopted: policies change from what they were.
  await second.apply(listed.index, { blockAll: false, allowList: ['203.0.113.0/24'] });
  expect((await host.peer(listedBox.net, 'tcp', INTERNET, '8080')).ok).toBe(false);
  await second.apply(open.index, { blockAll: true, allowList: null });
  expect((await host.peer(openBox.net, 'tcp', INTERNET, '8080')).ok).toBe(false);

  const fresh = await Promise.all(Array.from({ length: 12 }, () => second.take()));
  for (const slot of fresh) expect([open.index, listed.index]).not.toContain(slot.index);
  const box = await host.sandbox(second, fresh[0]!);
  await second.apply(fresh[0]!.index, OPEN_NETWORK);
  expect((await host.peer(box.net, 'tcp', INTERNET, '8080')).ok).toBe(true);

  for (const slot of [open, listed, ...fresh]) await second.call('release', slot.index);
  const router = `ip netns exec ${host.layout.routerNetns}`;
  expect(host.run(`${router} nft list set inet paddock open; ${router} nft list set inet paddock allowed; ${router} nft list set inet paddock resolving`)).not.toContain('elements');
});

test('tracked connections of an index\'s last sandbox are gone when the next one gets it', async () => {
  const first = await host.agent();
  const slot = await first.take();
  await first.apply(slot.index, OPEN_NETWORK);
  const box = await host.sandbox(first, slot);
  const talk = host.talk(box.net, 'hold', INTERNET, '8080');
  expect(await talk.hear()).toMatch(/^hello/);
  const tracked = (): string => host.run(`ip netns exec ${host.layout.routerNetns} cat /proc/net/nf_conntrack`);
  expect(tracked()).toContain(`src=${slot.address}`);
  await first.call('release', slot.index);
  await talk.end();
  await box.end();
  await first.kill();
  await expect.poll(() => host.run(`ip netns exec ${host.layout.routerNetns} ip -o link`), { timeout: 10_000 }).not.toContain(`s${slot.index}@`);
  expect(tracked()).toContain(`src=${slot.address}`);

  const second = await host.agent();
  await second.call('adopt', []);
  const slots = await Promise.all(Array.from({ length: 4 }, () => second.take()));
  expect(slots.map(({ index }) => index)).toContain(slot.index);
  expect(tracked()).not.toContain(`src=${slot.address}`);
});
