import { errorCode } from '../sys/index.ts';
import { attribute, attributes, eachAttribute, nested, NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, text, uint32be } from './netlink.ts';
import type { Netlink, Request } from './netlink.ts';

/**
 * Elements of nftables sets, changed by raw netlink: a policy change costs some 50 µs where starting `nft` costs 10 ms.
 * Tables, chains and rules are loaded by `nft` itself.
 */

const SUBSYSTEM = 10 << 8;
const GET_TABLE = SUBSYSTEM | 1;
const GET_RULE = SUBSYSTEM | 7;
const NEW_ELEMENT = SUBSYSTEM | 12;
const GET_ELEMENT = SUBSYSTEM | 13;
const DELETE_ELEMENT = SUBSYSTEM | 14;
const GET_GENERATION = SUBSYSTEM | 16;
const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
const NFPROTO_INET = 1;
const NFTA_TABLE_NAME = 1;
const NFTA_RULE_TABLE = 1;
const NFTA_ELEMENTS_TABLE = 1;
const NFTA_ELEMENTS_SET = 2;
const NFTA_ELEMENTS = 3;
const NFTA_LIST_ELEMENT = 1;
const NFTA_ELEMENT_KEY = 1;
const NFTA_ELEMENT_KEY_END = 10;
const NFTA_DATA_VALUE = 1;
const NFTA_GENERATION_ID = 1;

/** Link names are set keys of this length, padded with zeros. */
const IFNAMSIZ = 16;

export interface Key {
  readonly start: Buffer;
  /** Equal to `start` except in an interval set. */
  readonly end: Buffer | null;
}

export interface ElementChange {
  readonly set: string;
  readonly key: Key;
  readonly present: boolean;
}

export function linkKey(name: string): Key {
  const start = Buffer.alloc(IFNAMSIZ);
  start.write(name, 'latin1');
  return { start, end: null };
}

function head(family: number, resource = 0): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt8(family, 0);
  out.writeUInt16BE(resource, 2);
  return out;
}

function batchMark(type: number): Request {
  return { what: 'nftables batch', type, flags: NLM_F_REQUEST, body: head(0, SUBSYSTEM >> 8) };
}

function elementList(table: string, change: ElementChange): Buffer {
  const key = [nested(NFTA_ELEMENT_KEY, attribute(NFTA_DATA_VALUE, change.key.start))];
  if (change.key.end !== null) key.push(nested(NFTA_ELEMENT_KEY_END, attribute(NFTA_DATA_VALUE, change.key.end)));
  return Buffer.concat([
    head(NFPROTO_INET),
    attribute(NFTA_ELEMENTS_TABLE, text(table)),
    attribute(NFTA_ELEMENTS_SET, text(change.set)),
    nested(NFTA_ELEMENTS, nested(NFTA_LIST_ELEMENT, ...key)),
  ]);
}

/** Makes all changes in one transaction: the kernel has all of them or, when this throws, none. */
export function changeElements(socket: Netlink, table: string, changes: readonly ElementChange[]): void {
  if (changes.length === 0) return;
  const requests = changes.map((change) => ({
    what: `${change.present ? 'add to' : 'delete from'} nftables set ${change.set}`,
    type: change.present ? NEW_ELEMENT : DELETE_ELEMENT,
    flags: NLM_F_REQUEST | NLM_F_ACK | (change.present ? NLM_F_CREATE : 0),
    body: elementList(table, change),
  }));
  socket.request(batchMark(BATCH_BEGIN), ...requests, batchMark(BATCH_END));
}

export function listElements(socket: Netlink, table: string, set: string): Key[] {
  const body = Buffer.concat([head(NFPROTO_INET), attribute(NFTA_ELEMENTS_TABLE, text(table)), attribute(NFTA_ELEMENTS_SET, text(set))]);
  const keys: Key[] = [];
  for (const reply of socket.dump(`list nftables set ${set}`, GET_ELEMENT, body)) {
    const list = attributes(reply.body, 4).get(NFTA_ELEMENTS);
    if (list === undefined) continue;
    for (const [, element] of eachAttribute(list, 0)) {
      const found = attributes(element, 0);
      const start = dataValue(found.get(NFTA_ELEMENT_KEY));
      if (start !== null) keys.push({ start, end: dataValue(found.get(NFTA_ELEMENT_KEY_END)) });
    }
  }
  return keys;
}

function dataValue(data: Buffer | undefined): Buffer | null {
  return data === undefined ? null : (attributes(data, 0).get(NFTA_DATA_VALUE) ?? null);
}

/** A number that changes with every change to any table of the namespace. */
export function generation(socket: Netlink): number {
  const [reply] = socket.get('nftables generation', GET_GENERATION, head(0));
  return reply === undefined ? 0 : (attributes(reply.body, 4).get(NFTA_GENERATION_ID)?.readUInt32BE(0) ?? 0);
}

/** @returns number of rules of an inet table, or null when there is no such table */
export function countRules(socket: Netlink, table: string): number | null {
  try {
    socket.get('get nftables table', GET_TABLE, Buffer.concat([head(NFPROTO_INET), attribute(NFTA_TABLE_NAME, text(table))]));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
  const body = Buffer.concat([head(NFPROTO_INET), attribute(NFTA_RULE_TABLE, text(table))]);
  return socket.dump('list nftables rules', GET_RULE, body).length;
}

const DELETE_CONNECTION = (1 << 8) | 2;
const AF_INET = 2;
const CTA_MARK = 8;
const CTA_MARK_MASK = 21;

/**
 * Forgets every tracked connection with a mark. Walks the whole connection table (milliseconds), so it is made to be
 * sent in the background.
 */
export function forgetConnections(mark: number): Request {
  return {
    what: 'forget connections',
    type: DELETE_CONNECTION,
    flags: NLM_F_REQUEST | NLM_F_ACK,
    body: Buffer.concat([head(AF_INET), attribute(CTA_MARK, uint32be(mark)), attribute(CTA_MARK_MASK, uint32be(0xffff_ffff))]),
  };
}
