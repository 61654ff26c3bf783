import { formatAddress, formatBlock, withoutNested } from './cidr.ts';
import type { Block } from './cidr.ts';
import { ROUTER_UPLINK, SUBNET_PREFIX } from './plan.ts';
import type { Plan } from './plan.ts';
import { SET_ALLOWED, SET_OPEN, SET_RESOLVING } from './policy.ts';

/** The nftables rules of the router's namespace and of the host's, as text for `nft -f`. */

export const ROUTER_TABLE = 'paddock';

/**
 * Connections a sandbox may have at once. The table of tracked connections holds 262,144 by default and is full for
 * everybody when it is full: 4,096 leaves room for 64 sandboxes at their limit and is more than a crawler opens.
 */
const MAX_CONNECTIONS = 4096;

function members(blocks: readonly Block[]): string {
  return withoutNested(blocks).map(formatBlock).join(', ');
}

function filled(blocks: readonly Block[]): string {
  return blocks.length === 0 ? '' : ` elements = { ${members(blocks)} };`;
}

/**
 * Isolation of sandboxes. The sets survive a reload, so an upgrade or restart of the runner cuts no connection.
 *
 * Every packet of a sandbox, of old connections too, passes the lists of what is denied to all and then its own policy;
 * so does every packet towards it (but errors about its own packets, which path MTU discovery needs). A change of policy therefore cuts connections by itself. Refusals are answered:
 * a program fails at once with "connection refused" and does not hang until its timeout.
 */
export function routerRules(plan: Plan, denied: readonly Block[]): string {
  const resolver = formatAddress(plan.resolver);
  return `
table inet ${ROUTER_TABLE} {
  set denied { type ipv4_addr; flags interval; }
  set host { type ipv4_addr; flags interval; }
  set ${SET_OPEN} { type ifname; }
  set ${SET_RESOLVING} { type ifname; }
  set ${SET_ALLOWED} { type ipv4_addr . ipv4_addr; flags interval; }
  set connections { type ipv4_addr; size 65535; flags dynamic; }
  chain spoofed { type filter hook prerouting priority raw; policy accept; }
  chain counted { type filter hook prerouting priority mangle; policy accept; }
  chain forward { type filter hook forward priority filter; policy drop; }
  chain input { type filter hook input priority filter; policy drop; }
  chain outward { }
  chain inward { }
  chain refuse { }
}
flush chain inet ${ROUTER_TABLE} spoofed
flush chain inet ${ROUTER_TABLE} counted
flush chain inet ${ROUTER_TABLE} forward
flush chain inet ${ROUTER_TABLE} input
flush chain inet ${ROUTER_TABLE} outward
flush chain inet ${ROUTER_TABLE} inward
flush chain inet ${ROUTER_TABLE} refuse
flush set inet ${ROUTER_TABLE} denied
table inet ${ROUTER_TABLE} {
  set denied { type ipv4_addr; flags interval;${filled([...denied, plan.block])} }
  chain spoofed {
    meta nfproto != ipv4 drop
    iifname "s*" fib saddr . iif oif 0 drop
  }
  chain counted {
    iifname "s*" ct state new add @connections { ip saddr ct count over ${MAX_CONNECTIONS} } drop
    iifname "s*" ct state new ct mark set @nh,96,32
  }
  chain forward {
    iifname "${ROUTER_UPLINK}" oifname "s*" ct state established,related goto inward
    iifname "${ROUTER_UPLINK}" drop
    iifname "s*" oifname "${ROUTER_UPLINK}" goto outward
    iifname "s*" goto refuse
  }
  chain outward {
    ip daddr @denied goto refuse
    ip daddr @host goto refuse
    iifname @${SET_OPEN} accept
    ip saddr . ip daddr @${SET_ALLOWED} accept
    goto refuse
  }
  chain inward {
    ct state related ip protocol icmp accept
    ip saddr @denied drop
    oifname @${SET_OPEN} accept
    ip daddr . ip saddr @${SET_ALLOWED} accept
    drop
  }
  chain input {
    iifname @${SET_RESOLVING} ip daddr ${resolver} udp dport 53 accept
    iifname @${SET_RESOLVING} ip daddr ${resolver} tcp dport 53 accept
    iifname "s*" goto refuse
  }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmp type admin-prohibited
  }
}
`;
}

/** Replaces the host's own blocks, which no sandbox reaches, in one transaction. */
export function hostBlocksRules(blocks: readonly Block[]): string {
  const add = blocks.length === 0 ? '' : `add element inet ${ROUTER_TABLE} host { ${members(blocks)} }\n`;
  return `flush set inet ${ROUTER_TABLE} host\n${add}`;
}

/**
 * The host's side: address translation, and nothing else from the uplink. Isolation does not rest on this table: other
 * tools flush the host's rules, and the router refuses the host's addresses by itself.
 * @param guarded links on which Paddock switched forwarding on: they forward to sandboxes (of any instance, all of whose
 *   uplinks are named pdk…) only; the host does not turn into a router of its neighbours
 */
export function hostRules(table: string, uplink: string, plan: Plan, guarded: readonly string[]): string {
  const subnet = `${formatAddress(plan.base)}/${SUBNET_PREFIX}`;
  const guard = guarded.length === 0 ? '' : `    iifname { ${guarded.map((name) => `"${name}"`).join(', ')} } oifname != "pdk*" drop\n`;
  return `
table inet ${table} { }
delete table inet ${table}
table inet ${table} {
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "${uplink}" drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "${uplink}" ip saddr != ${subnet} drop
    iifname "${uplink}" meta nfproto != ipv4 drop
    iifname "${uplink}" oifname "${uplink}" drop
    iifname "${uplink}" ct state invalid drop
    oifname "${uplink}" ct state != { established, related } drop
${guard}  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${subnet} oifname != "${uplink}" masquerade
  }
}
`;
}
