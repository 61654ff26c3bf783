import { closeSync, constants, openSync, readlinkSync } from 'node:fs';
import type { Layout } from '@paddock/contract';
import { errorCode } from '../sys/index.ts';
import { loadRules, run } from './command.ts';
import type { Block } from './cidr.ts';
import { addAddress, addRoute, addVeth, deleteAddress, deleteLink, listAddresses, listLinks, LOOPBACK_INDEX, setUp } from './links.ts';
import { Netlink, NETLINK_NETFILTER, NETLINK_ROUTE } from './netlink.ts';
import type { Request } from './netlink.ts';
import { planOf, planOfResolver, ROUTER_UPLINK, SUBNET_PREFIX, UPLINK_PREFIX } from './plan.ts';
import type { Plan } from './plan.ts';
import { routerRules } from './ruleset.ts';
import { inNetns } from './sockets.ts';
import { trySysctl, writeSysctl } from './sysctl.ts';

/**
 * The router: a network namespace in which every sandbox's link ends and where isolation is decided. It is pinned in
 * /run/netns of the host's mount namespace (`ip netns exec` works), so it outlives the runner while sandboxes run.
 */
export class Router {
  readonly netnsFd: number;
  readonly isNew: boolean;
  /** Links and addresses; only background requests while sandboxes come and go. */
  readonly route: Netlink;
  readonly filter: Netlink;
  readonly #layout: Layout;
  readonly #hostMounts: HostMounts;

  private constructor(layout: Layout, hostMounts: HostMounts, netnsFd: number, isNew: boolean) {
    this.#layout = layout;
    this.#hostMounts = hostMounts;
    this.netnsFd = netnsFd;
    this.isNew = isNew;
    this.route = new Netlink(NETLINK_ROUTE, netnsFd);
    this.filter = new Netlink(NETLINK_NETFILTER, netnsFd);
  }

  /** Finds the router of an earlier runner or makes an empty one. */
  static async open(layout: Layout): Promise<Router> {
    const hostMounts = new HostMounts();
    try {
      const made = await hostMounts.shell(PIN_SCRIPT, layout.routerNetns);
      const fd = openSync(hostMounts.path(`/run/netns/${layout.routerNetns}`), constants.O_RDONLY);
      return new Router(layout, hostMounts, fd, made.trim() === 'made');
    } catch (error) {
      hostMounts.close();
      throw error;
    }
  }

  /** The plan an earlier runner chose, or null in a router that has none yet. */
  existingPlan(): Plan | null {
    const resolver = listAddresses(this.route).find(({ linkIndex, prefixLength, address }) =>
      linkIndex === LOOPBACK_INDEX && prefixLength === 32 && (address & 0xffff) === (planOf(0).resolver & 0xffff));
    return resolver === undefined ? null : planOfResolver(resolver.address);
  }

  /**
   * Links router and host. The host's route to the /16 is made to fail when one exists, so of two instances that want the
   * same block at the same moment one gets it and the other tries its next.
   * @param host netlink socket of the host's namespace
   * @param bases first addresses of the /16s to try, best first
   */
  connect(host: Netlink, bases: readonly number[], mtu: number): Plan {
    const uplink = this.#layout.uplink;
    const known = this.existingPlan();
    let index = linkIndex(host, uplink);
    if (index === null || linkIndex(this.route, ROUTER_UPLINK) === null) {
      if (index !== null) host.request(deleteLink(uplink));
      host.request(addVeth({ name: uplink, index: 0, mac: null }, { name: ROUTER_UPLINK, index: 0, mac: null }, this.netnsFd, mtu));
      index = linkIndex(host, uplink) ?? 0;
    }
    trySysctl(`ipv6/conf/${uplink}/disable_ipv6`, 1);
    const far = linkIndex(this.route, ROUTER_UPLINK) ?? 0;
    for (const base of known === null ? bases : [known.base]) {
      const plan = planOf(base);
      host.request(addAddress(index, plan.hostEnd, UPLINK_PREFIX));
      const taken = !tryCreate(host, addRoute(plan.base, SUBNET_PREFIX, plan.routerEnd, index));
      if (taken && known === null) {
        host.request(deleteAddress(index, plan.hostEnd, UPLINK_PREFIX));
        continue;
      }
      this.route.request(setUp(LOOPBACK_INDEX), setUp(far), addAddress(far, plan.routerEnd, UPLINK_PREFIX));
      tryCreate(this.route, addRoute(0, 0, plan.hostEnd, far));
      this.route.request(addAddress(LOOPBACK_INDEX, plan.resolver, 32));
      return plan;
    }
    throw new Error('No 10.x.0.0/16 is free on this host: set network.subnet to a /16 that nothing here uses.');
  }

  /** Loads the rules, then lets packets through: in this order there is no moment without rules. */
  async enforce(plan: Plan, denied: readonly Block[]): Promise<void> {
    await loadRules(routerRules(plan, denied), this.netnsFd);
    inNetns(this.netnsFd, () => {
      for (const scope of ['all', 'default']) {
        trySysctl(`ipv6/conf/${scope}/disable_ipv6`, 1);
        writeSysctl(`ipv4/conf/${scope}/rp_filter`, 1);
        writeSysctl(`ipv4/conf/${scope}/arp_ignore`, 1);
        writeSysctl(`ipv4/conf/${scope}/accept_redirects`, 0);
        writeSysctl(`ipv4/conf/${scope}/send_redirects`, 0);
        writeSysctl(`ipv4/conf/${scope}/accept_source_route`, 0);
      }
      writeSysctl('ipv4/ip_forward', 1);
    });
  }

  /** @param last also unpins the namespace, which ends it with every link in it */
  async close(last: boolean): Promise<void> {
    this.route.close();
    this.filter.close();
    closeSync(this.netnsFd);
    try {
      if (last) await this.#hostMounts.shell(UNPIN_SCRIPT, this.#layout.routerNetns);
    } finally {
      this.#hostMounts.close();
    }
  }
}

export function linkIndex(socket: Netlink, name: string): number | null {
  return listLinks(socket).find((link) => link.name === name)?.index ?? null;
}

/** @returns false when it exists */
function tryCreate(socket: Netlink, request: Request): boolean {
  try {
    socket.request(request);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

const PIN_SCRIPT = `set -e
mkdir -p /run/netns
pin="/run/netns/$1"
nsenter --net="$pin" true 2>/dev/null && exit 0
umount -l "$pin" 2>/dev/null || :
: > "$pin"
unshare --net="$pin" true
echo made`;

const UNPIN_SCRIPT = `pin="/run/netns/$1"
umount -l "$pin" 2>/dev/null
rm -f "$pin"
rmdir /run/netns 2>/dev/null
exit 0`;

/**
 * The mount namespace of the runner's parent: the host's. The runner's own vanishes with it, so a pin made there would
 * not outlive it. Held open from the start, because a parent can be gone when the runner stops.
 */
class HostMounts {
  readonly #fd: number;
  readonly #parent = process.ppid;
  readonly #isOwn: boolean;

  constructor() {
    const parent = `/proc/${this.#parent}/ns/mnt`;
    let other = false;
    try {
      other = readlinkSync(parent) !== readlinkSync('/proc/thread-self/ns/mnt');
    } catch {
      // A parent that cannot be looked at (process 1 of some containers): the runner was started without a namespace of its own.
    }
    this.#isOwn = !other;
    this.#fd = openSync(other ? parent : '/proc/thread-self/ns/mnt', constants.O_RDONLY);
  }

  /** A path of the host as this process can open it. */
  path(absolute: string): string {
    return this.#isOwn ? absolute : `/proc/${this.#parent}/root${absolute}`;
  }

  shell(script: string, argument: string): Promise<string> {
    const shell = ['sh', '-c', script, 'sh', argument];
    if (this.#isOwn) return run('sh', shell.slice(1));
    return run('nsenter', ['--mount=/proc/self/fd/3', '--', ...shell], { fd3: this.#fd });
  }

  close(): void {
    closeSync(this.#fd);
  }
}
