import { attribute, attributes, nested, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, text, textOf, uint32, uint32be } from './netlink.ts';
import type { Netlink, Request } from './netlink.ts';
import { blockOf } from './cidr.ts';
import type { Block } from './cidr.ts';

/** Links, addresses, routes and neighbours: rtnetlink requests as values, and the dumps Paddock reads. */

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTM_NEWNEIGH = 28;
const AF_INET = 2;
const IFF_UP = 1;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_PERMANENT = 0x80;
const CREATE = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;

/** Route types: what the kernel does with a packet to such a destination. */
export const RTN_UNICAST = 1;
export const RTN_LOCAL = 2;
export const RTN_BROADCAST = 3;
export const LOOPBACK_INDEX = 1;

export interface LinkEnd {
  readonly name: string;
  /** Link index inside its namespace; 0 lets the kernel choose. */
  readonly index: number;
  /** Six bytes, or null for a random one. */
  readonly mac: Buffer | null;
}

function linkMessage(index: number, up: boolean): Buffer {
  const body = Buffer.alloc(16);
  body.writeInt32LE(index, 4);
  body.writeUInt32LE(up ? IFF_UP : 0, 8);
  body.writeUInt32LE(up ? IFF_UP : 0, 12);
  return body;
}

function endAttributes(end: LinkEnd, mtu: number): Buffer[] {
  const parts = [attribute(IFLA_IFNAME, text(end.name)), attribute(IFLA_MTU, uint32(mtu))];
  if (end.mac !== null) parts.push(attribute(IFLA_ADDRESS, end.mac));
  return parts;
}

/**
 * A veth pair: `near`, up, in the socket's namespace, `far` in the one of `farNetnsFd`. The kernel configures the far end
 * before the two are joined and refuses to set it up then: that takes a request of its own, over there.
 */
export function addVeth(near: LinkEnd, far: LinkEnd, farNetnsFd: number, mtu: number): Request {
  const peer = Buffer.concat([linkMessage(far.index, false), ...endAttributes(far, mtu), attribute(IFLA_NET_NS_FD, uint32(farNetnsFd))]);
  const info = nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, text('veth')), nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer)));
  return {
    what: `add link ${near.name}`,
    type: RTM_NEWLINK,
    flags: CREATE | NLM_F_EXCL,
    body: Buffer.concat([linkMessage(near.index, true), ...endAttributes(near, mtu), info]),
  };
}

export function setUp(index: number): Request {
  return { what: `set link ${index} up`, type: RTM_NEWLINK, flags: NLM_F_REQUEST | NLM_F_ACK, body: linkMessage(index, true) };
}

export function deleteLink(name: string): Request {
  const body = Buffer.concat([linkMessage(0, false), attribute(IFLA_IFNAME, text(name))]);
  return { what: `delete link ${name}`, type: RTM_DELLINK, flags: NLM_F_REQUEST | NLM_F_ACK, body };
}

function addressBody(index: number, address: number, prefixLength: number): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt8(AF_INET, 0);
  head.writeUInt8(prefixLength, 1);
  head.writeUInt32LE(index, 4);
  const ip = uint32be(address);
  return Buffer.concat([head, attribute(IFA_LOCAL, ip), attribute(IFA_ADDRESS, ip)]);
}

export function addAddress(index: number, address: number, prefixLength: number): Request {
  return { what: 'add address', type: RTM_NEWADDR, flags: CREATE | NLM_F_REPLACE, body: addressBody(index, address, prefixLength) };
}

export function deleteAddress(index: number, address: number, prefixLength: number): Request {
  return { what: 'delete address', type: RTM_DELADDR, flags: NLM_F_REQUEST | NLM_F_ACK, body: addressBody(index, address, prefixLength) };
}

function routeBody(prefixLength: number, destination: number, gateway: number, index: number): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt8(AF_INET, 0);
  head.writeUInt8(prefixLength, 1);
  head.writeUInt8(RT_TABLE_MAIN, 4);
  head.writeUInt8(RTPROT_STATIC, 5);
  head.writeUInt8(RTN_UNICAST, 7);
  const parts = [head, attribute(RTA_GATEWAY, uint32be(gateway)), attribute(RTA_OIF, uint32(index))];
  if (prefixLength > 0) parts.push(attribute(RTA_DST, uint32be(destination)));
  return Buffer.concat(parts);
}

/** Fails with EEXIST when a route to the block exists, whoever's it is. */
export function addRoute(destination: number, prefixLength: number, gateway: number, index: number): Request {
  return { what: 'add route', type: RTM_NEWROUTE, flags: CREATE | NLM_F_EXCL, body: routeBody(prefixLength, destination, gateway, index) };
}

/**
 * A permanent neighbour entry. The kernel's neighbour table is shared by all namespaces and holds 1,024 learned entries
 * by default; permanent ones do not count, and no packet waits for ARP.
 */
export function addNeighbour(index: number, address: number, mac: Buffer): Request {
  const head = Buffer.alloc(12);
  head.writeUInt8(AF_INET, 0);
  head.writeInt32LE(index, 4);
  head.writeUInt16LE(NUD_PERMANENT, 8);
  return {
    what: 'add neighbour',
    type: RTM_NEWNEIGH,
    flags: CREATE | NLM_F_REPLACE,
    body: Buffer.concat([head, attribute(NDA_DST, uint32be(address)), attribute(NDA_LLADDR, mac)]),
  };
}

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  /** `veth`, `bridge`, …; empty for hardware and `lo`. */
  readonly kind: string;
}

export function listLinks(socket: Netlink): Link[] {
  return socket.dump('list links', RTM_GETLINK, Buffer.alloc(16)).map(({ body }) => {
    const found = attributes(body, 16);
    const info = found.get(IFLA_LINKINFO);
    return {
      index: body.readInt32LE(4),
      name: textOf(found.get(IFLA_IFNAME)),
      mtu: found.get(IFLA_MTU)?.readUInt32LE(0) ?? 0,
      kind: info === undefined ? '' : textOf(attributes(info, 0).get(IFLA_INFO_KIND)),
    };
  });
}

export interface Address {
  readonly linkIndex: number;
  readonly address: number;
  readonly prefixLength: number;
}

export function listAddresses(socket: Netlink): Address[] {
  const head = Buffer.alloc(8);
  head.writeUInt8(AF_INET, 0);
  return socket.dump('list addresses', RTM_GETADDR, head).flatMap(({ body }) => {
    const found = attributes(body, 8);
    const address = found.get(IFA_LOCAL) ?? found.get(IFA_ADDRESS);
    if (address === undefined) return [];
    return [{ linkIndex: body.readUInt32LE(4), prefixLength: body.readUInt8(1), address: address.readUInt32BE(0) }];
  });
}

export interface Route {
  readonly type: number;
  readonly table: number;
  readonly isDefault: boolean;
  readonly block: Block;
  /** 0 when the route names no link. */
  readonly linkIndex: number;
}

/** IPv4 routes of all tables. */
export function listRoutes(socket: Netlink): Route[] {
  const head = Buffer.alloc(12);
  head.writeUInt8(AF_INET, 0);
  return socket.dump('list routes', RTM_GETROUTE, head).map(({ body }) => {
    const found = attributes(body, 12);
    const prefixLength = body.readUInt8(1);
    return {
      type: body.readUInt8(7),
      table: found.get(RTA_TABLE)?.readUInt32LE(0) ?? body.readUInt8(4),
      isDefault: prefixLength === 0,
      block: blockOf(found.get(RTA_DST)?.readUInt32BE(0) ?? 0, prefixLength),
      // A multipath route names its links in a list of next hops; the first one stands for all.
      linkIndex: found.get(RTA_OIF)?.readUInt32LE(0) ?? found.get(RTA_MULTIPATH)?.readUInt32LE(4) ?? 0,
    };
  });
}
