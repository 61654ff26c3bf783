/** IPv4 addresses and blocks as numbers. */

export interface Block {
  /** First address, as an unsigned 32-bit number. */
  readonly first: number;
  readonly last: number;
}

/** @returns null unless the text is a dotted quad without leading zeros */
export function parseAddress(text: string): number | null {
  const parts = text.split('.');
  if (parts.length !== 4) return null;
  let value = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null;
    value = value * 256 + Number(part);
  }
  return value;
}

export function formatAddress(value: number): string {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.');
}

/** Host bits are allowed and ignored. @returns null unless the text is `a.b.c.d/n` (or an address alone, which is /32) */
export function parseBlock(text: string): Block | null {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  const length = slash < 0 ? '32' : text.slice(slash + 1);
  if (address === null || !/^\d{1,2}$/.test(length) || Number(length) > 32) return null;
  return blockOf(address, Number(length));
}

export function blockOf(address: number, prefixLength: number): Block {
  const size = 2 ** (32 - prefixLength);
  const first = Math.floor(address / size) * size;
  return { first, last: first + size - 1 };
}

export function overlaps(a: Block, b: Block): boolean {
  return a.first <= b.last && b.first <= a.last;
}

export function covers(outer: Block, inner: Block): boolean {
  return outer.first <= inner.first && inner.last <= outer.last;
}

/** Drops blocks inside other blocks of the list: two CIDR blocks are nested or apart, so what is left is disjoint. */
export function withoutNested(blocks: readonly Block[]): Block[] {
  const kept: Block[] = [];
  for (const block of [...blocks].sort((a, b) => a.first - b.first || b.last - a.last)) {
    const previous = kept.at(-1);
    if (previous === undefined || !covers(previous, block)) kept.push(block);
  }
  return kept;
}

export function formatBlock(block: Block): string {
  return block.first === block.last ? formatAddress(block.first) : `${formatAddress(block.first)}-${formatAddress(block.last)}`;
}
