import { blockOf } from './cidr.ts';
import type { Block } from './cidr.ts';
import { listAddresses, listLinks, listRoutes, RTN_BROADCAST, RTN_LOCAL, RTN_UNICAST } from './links.ts';
import type { Netlink } from './netlink.ts';

/** What the host's network looks like, as far as sandboxes are concerned. */
export interface HostFacts {
  /** The host's own addresses, broadcast addresses and the networks that exist only inside it: refused to sandboxes. */
  readonly own: readonly Block[];
  /** Blocks that the host has a route to: no sandbox subnet may overlap them. */
  readonly routed: readonly Block[];
  /** Links through which packets of sandboxes leave. */
  readonly exits: readonly string[];
  /** MTU of the link of the default route. */
  readonly mtu: number;
}

/**
 * Kinds of link behind which lie only guests of this host: Docker's and Kubernetes' bridges and pods, another Paddock.
 * What listens there trusts the host's walls as much as what listens on the host itself. A VPN's link is not among them:
 * behind it lies a network as behind a cable.
 */
const GUEST_KINDS = new Set(['bridge', 'veth', 'vxlan']);

/** Ethernet's; for a host that has no default route. */
const DEFAULT_MTU = 1500;

/** @param uplink the instance's own link, which counts for nothing here */
export function readHostFacts(socket: Netlink, uplink: string): HostFacts {
  const links = new Map(listLinks(socket).map((link) => [link.index, link]));
  const routes = listRoutes(socket).filter((route) => links.get(route.linkIndex)?.name !== uplink);
  const defaults = new Set(routes.filter((route) => route.isDefault && route.type === RTN_UNICAST).map((route) => route.linkIndex));
  const leadsToGuests = (index: number): boolean => GUEST_KINDS.has(links.get(index)?.kind ?? '') && !defaults.has(index);

  const own: Block[] = [];
  const routed: Block[] = [];
  const exits = new Set<string>();
  for (const route of routes) {
    if (route.type === RTN_LOCAL || route.type === RTN_BROADCAST) own.push(route.block);
    if (route.isDefault || route.type !== RTN_UNICAST) {
      if (route.isDefault && route.type === RTN_UNICAST) addName(exits, links.get(route.linkIndex)?.name);
      continue;
    }
    routed.push(route.block);
    if (leadsToGuests(route.linkIndex)) own.push(route.block);
    else addName(exits, links.get(route.linkIndex)?.name);
  }
  for (const { linkIndex, address } of listAddresses(socket)) {
    if (links.get(linkIndex)?.name === uplink) continue;
    own.push(blockOf(address, 32));
    routed.push(blockOf(address, 32));
  }
  exits.delete('lo');
  const [first] = defaults;
  const mtu = first === undefined ? DEFAULT_MTU : (links.get(first)?.mtu ?? DEFAULT_MTU);
  return { own, routed, exits: [...exits].sort(), mtu };
}

function addName(names: Set<string>, name: string | undefined): void {
  if (name !== undefined) names.add(name);
}

/** An uplink of any instance. */
export const ANY_UPLINK = /^pdk[0-9a-f]{8}$/;
