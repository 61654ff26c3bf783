import { describe, expect, test } from 'vitest';
import { covers, formatAddress, formatBlock, parseAddress, parseBlock, withoutNested } from '../src/network/cidr.ts';
import type { Block } from '../src/network/cidr.ts';
import { candidates, freeCandidates, macOf, MAX_SLOTS, planOf, planOfResolver, slotPlan } from '../src/network/plan.ts';
import { accessOf, changesBetween, NO_ACCESS } from '../src/network/policy.ts';

const block = (text: string): Block => {
  const parsed = parseBlock(text);
  if (parsed === null) throw new Error(text);
  return parsed;
};

describe('blocks', () => {
  test.each([
    ['10.1.2.3/8', '10.0.0.0-10.255.255.255'],
    ['0.0.0.0/0', '0.0.0.0-255.255.255.255'],
    ['255.255.255.255/32', '255.255.255.255'],
    ['1.2.3.4', '1.2.3.4'],
    ['192.168.1.129/25', '192.168.1.128-192.168.1.255'],
  ])('%s is %s', (text, range) => expect(formatBlock(block(text))).toBe(range));

  test.each(['', '1.2.3', '1.2.3.4.5/8', '1.2.3.256/8', '01.2.3.4/8', '1.2.3.4/33', '1.2.3.4/', '1.2.3.4/-1', '1.2.3.4/8/8', 'fd00::/8', ' 1.2.3.4/8', '1.2.3.4/0x8'])(
    '%j is none', (text) => expect(parseBlock(text)).toBeNull());

  test('nested ones are dropped, so that what is left is disjoint', () => {
    const kept = withoutNested(['10.0.0.0/9', '10.0.0.0/8', '10.255.0.0/16', '9.0.0.0/8', '10.0.0.0/8', '11.0.0.0/32'].map(block));
    expect(kept.map(formatBlock)).toEqual(['9.0.0.0-9.255.255.255', '10.0.0.0-10.255.255.255', '11.0.0.0']);
  });
});

describe('the plan', () => {
  const plan = planOf(parseAddress('10.200.0.0') ?? 0);

  test('slots, resolver and uplink do not meet', () => {
    const last = slotPlan(plan, MAX_SLOTS - 1);
    expect([slotPlan(plan, 0).addressText, last.addressText]).toEqual(['10.200.0.2', '10.200.63.254']);
    expect([plan.resolver, plan.hostEnd, plan.routerEnd].map(formatAddress)).toEqual(['10.200.255.53', '10.200.255.249', '10.200.255.250']);
    expect(planOfResolver(plan.resolver)).toEqual(plan);
  });

  test('ids of all slots lie between systemd\'s containers and 2^31', () => {
    expect(slotPlan(plan, 0).idBase).toBeGreaterThan(0x6fff_ffff);
    expect(slotPlan(plan, MAX_SLOTS - 1).idBase + 65_536).toBe(2 ** 31);
  });

  test('no two ends share a hardware address', () => {
    const all = Array.from({ length: MAX_SLOTS }, (_, n) => [macOf('router', n), macOf('sandbox', n)]).flat().map((mac) => mac.toString('hex'));
    expect(new Set(all).size).toBe(2 * MAX_SLOTS);
  });

  test('a subnet avoids routes and resolvers of the host, and instances start apart', () => {
    const first = formatAddress(candidates('0000aaaa')[0] ?? 0);
    expect(first).toBe('10.200.0.0');
    expect(formatAddress(candidates('0001aaaa')[0] ?? 0)).toBe('10.201.0.0');
    expect(formatAddress(freeCandidates('0000aaaa', [block('10.200.7.0/24'), block('10.201.255.53/32')])[0] ?? 0)).toBe('10.202.0.0');
    expect(candidates('0000aaaa')).toHaveLength(256);
    expect(freeCandidates('0000aaaa', [block('10.0.0.0/8')])).toEqual([]);
  });
});

describe('a policy', () => {
  const upstream = [block('192.0.2.53/32')];

  test('is open with names, blocked without, listed with names only where the list covers the servers', () => {
    expect(accessOf({ blockAll: false, allowList: null }, upstream)).toEqual({ open: true, resolves: true, blocks: [] });
    expect(accessOf({ blockAll: true, allowList: ['0.0.0.0/0'] }, upstream)).toBe(NO_ACCESS);
    expect(accessOf({ blockAll: false, allowList: ['192.0.2.0/24'] }, upstream).resolves).toBe(true);
    expect(accessOf({ blockAll: false, allowList: ['192.0.2.0/24'] }, [...upstream, block('8.8.8.8/32')]).resolves).toBe(false);
    expect(accessOf({ blockAll: false, allowList: ['192.0.2.0/24'] }, []).resolves).toBe(false);
  });

  test('changes only what differs, removals first', () => {
    const slot = slotPlan(planOf(0), 1);
    const from = accessOf({ blockAll: false, allowList: ['1.0.0.0/8', '2.0.0.0/8'] }, []);
    const to = accessOf({ blockAll: false, allowList: ['2.0.0.0/8', '1.0.0.0/7'] }, []);
    expect(covers(block('2.0.0.0/7'), block('2.0.0.0/8'))).toBe(true);
    const changes = changesBetween(slot, from, to);
    expect(changes.map(({ present }) => present)).toEqual([false, true]);
    expect(changesBetween(slot, to, to)).toEqual([]);
  });
});
