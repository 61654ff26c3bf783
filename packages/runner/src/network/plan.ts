import { SLOT_IDS } from '../types.ts';
import { formatAddress, overlaps, parseBlock } from './cidr.ts';
import type { Block } from './cidr.ts';

/**
 * Which addresses, names and ids belong to what. All of it follows from the instance's /16 and the slot's index, so
 * nothing about a slot has to be stored.
 *
 *     x.y.0.0 … x.y.63.255   4,096 slots, a /30 each: .1 is the router's end, .2 the sandbox
 *     x.y.255.53             the resolver, on the router's loopback
 *     x.y.255.248/30         uplink: .249 is the host's end, .250 the router's
 */
export interface Plan {
  /** First address of the /16. */
  readonly base: number;
  readonly block: Block;
  readonly resolver: number;
  readonly hostEnd: number;
  readonly routerEnd: number;
}

/**
 * A slot's index decides its host ids, and 4,096 ranges of 65,536 fill 0x70000000–0x7fffffff: just above what systemd
 * gives to containers (up to 0x6fffffff) and what useradd gives to users as sub-ids (up to 600,100,000), and below
 * 2^31, where some programs take ids for negative numbers.
 */
const FIRST_ID = 0x7000_0000;
export const MAX_SLOTS = 4096;

export const SUBNET_PREFIX = 16;
export const UPLINK_PREFIX = 30;
export const SLOT_PREFIX = 30;
/** The router's end of the uplink, in the router's namespace. */
export const ROUTER_UPLINK = 'up';
export const SLOT_LINK = /^s(\d{1,4})$/;
export const SANDBOX_LINK = 'eth0';

export function planOf(base: number): Plan {
  return {
    base,
    block: { first: base, last: base + 0xffff },
    resolver: base + 0xff35,
    hostEnd: base + 0xfff9,
    routerEnd: base + 0xfffa,
  };
}

/** The plan whose resolver has this address. */
export function planOfResolver(resolver: number): Plan {
  return planOf(resolver - 0xff35);
}

export interface SlotPlan {
  readonly index: number;
  readonly link: string;
  readonly gateway: number;
  readonly address: number;
  readonly addressText: string;
  readonly idBase: number;
  /** Mark of the sandbox's connections: its address as the rule's 4-byte load sees it (first byte lowest). */
  readonly mark: number;
}

export function slotPlan(plan: Plan, index: number): SlotPlan {
  const address = plan.base + index * 4 + 2;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(address);
  return {
    index,
    link: `s${index}`,
    gateway: address - 1,
    address,
    addressText: formatAddress(address),
    idBase: FIRST_ID + index * SLOT_IDS,
    mark: bytes.readUInt32LE(0),
  };
}

/** Locally administered (02), then "pd", which end, and the slot: unique on a link, and the same after a restart. */
export function macOf(end: 'router' | 'sandbox', index: number): Buffer {
  return Buffer.from([0x02, 0x70, 0x64, end === 'router' ? 1 : 2, index >>> 8, index & 255]);
}

/**
 * The /16s to try, best first. Office networks and clouds start at 10.0, Kubernetes lives around 10.42, 10.96 and
 * 10.244; what hides behind the host's default route cannot be seen, so the search starts at the quiet 10.200–10.239, at a
 * place that follows from the instance so that two instances rarely want the same.
 */
export function candidates(instance: string): number[] {
  const start = Number.parseInt(instance.slice(0, 4), 16) % 40;
  const quiet = Array.from({ length: 40 }, (_, n) => 200 + ((start + n) % 40));
  const others = Array.from({ length: 256 }, (_, n) => n).filter((n) => !quiet.includes(n));
  return [...quiet, ...others].map((second) => 10 * 2 ** 24 + second * 2 ** 16);
}

/** @param taken blocks that must stay reachable: routes of the host, its resolvers */
export function freeCandidates(instance: string, taken: readonly Block[]): number[] {
  return candidates(instance).filter((base) => !taken.some((block) => overlaps(block, planOf(base).block)));
}

/** @returns base address of a configured subnet; throws when it is not a /16 */
export function configuredBase(subnet: string): number {
  const block = parseBlock(subnet);
  if (block === null || block.last - block.first !== 0xffff) throw new Error(`network.subnet must be an IPv4 /16, not ${subnet}`);
  return block.first;
}
