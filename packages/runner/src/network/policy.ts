import type { NetworkPolicy } from '@paddock/contract';
import { covers, parseBlock, withoutNested } from './cidr.ts';
import type { Block } from './cidr.ts';
import { linkKey } from './elements.ts';
import type { ElementChange, Key } from './elements.ts';
import type { SlotPlan } from './plan.ts';

/** A sandbox's egress policy as members of the router's sets. A sandbox that is in none of them reaches nothing. */
export interface Access {
  /** Everything that no sandbox is denied. */
  readonly open: boolean;
  /** May ask the resolver. */
  readonly resolves: boolean;
  /** Disjoint blocks it reaches when not `open`. */
  readonly blocks: readonly Block[];
}

export const NO_ACCESS: Access = { open: false, resolves: false, blocks: [] };

export const SET_OPEN = 'open';
export const SET_RESOLVING = 'resolving';
export const SET_ALLOWED = 'allowed';

/**
 * Names are answered to a sandbox with an allow list only when the list covers every upstream resolver: a query carries
 * data out, so it may go no further than the sandbox could send it itself.
 * @param upstreams addresses the resolver forwards to
 */
export function accessOf(policy: NetworkPolicy, upstreams: readonly Block[]): Access {
  if (policy.blockAll) return NO_ACCESS;
  if (policy.allowList === null) return { open: true, resolves: true, blocks: [] };
  const blocks = withoutNested(policy.allowList.map((entry) => {
    const block = parseBlock(entry);
    if (block === null) throw new Error(`not an IPv4 block: ${entry}`);
    return block;
  }));
  const resolves = upstreams.length > 0 && upstreams.every((upstream) => blocks.some((block) => covers(block, upstream)));
  return { open: false, resolves, blocks };
}

function allowedKey(address: number, block: Block): Key {
  const start = Buffer.alloc(8);
  start.writeUInt32BE(address, 0);
  start.writeUInt32BE(block.first, 4);
  const end = Buffer.alloc(8);
  end.writeUInt32BE(address, 0);
  end.writeUInt32BE(block.last, 4);
  return { start, end };
}

/** @returns the sandbox's address and the block, of a member of the allowed set */
export function readAllowedKey(key: Key): { address: number; block: Block } {
  const end = key.end ?? key.start;
  return { address: key.start.readUInt32BE(0), block: { first: key.start.readUInt32BE(4), last: end.readUInt32BE(4) } };
}

/** What has to change in the sets; removals first, so that a new block may overlap an old one. */
export function changesBetween(slot: SlotPlan, from: Access, to: Access): ElementChange[] {
  const changes: ElementChange[] = [];
  const same = (a: Block, b: Block): boolean => a.first === b.first && a.last === b.last;
  for (const block of from.blocks) {
    if (!to.blocks.some((other) => same(block, other))) changes.push({ set: SET_ALLOWED, key: allowedKey(slot.address, block), present: false });
  }
  for (const block of to.blocks) {
    if (!from.blocks.some((other) => same(block, other))) changes.push({ set: SET_ALLOWED, key: allowedKey(slot.address, block), present: true });
  }
  if (from.open !== to.open) changes.push({ set: SET_OPEN, key: linkKey(slot.link), present: to.open });
  if (from.resolves !== to.resolves) changes.push({ set: SET_RESOLVING, key: linkKey(slot.link), present: to.resolves });
  return changes;
}
