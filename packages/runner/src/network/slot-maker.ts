import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { bindMount, errorCode, unmountAll } from '../sys/index.ts';
import { SLOT_IDS } from '../types.ts';
import type { NetworkSlot } from '../types.ts';
import { forgetConnections } from './elements.ts';
import { addAddress, addNeighbour, addRoute, addVeth, deleteLink, LOOPBACK_INDEX, setUp } from './links.ts';
import { Netlink, NETLINK_NETFILTER, NETLINK_ROUTE } from './netlink.ts';
import { macOf, SANDBOX_LINK, SLOT_PREFIX, slotPlan } from './plan.ts';
import type { Plan, SlotPlan } from './plan.ts';
import { inNetns } from './sockets.ts';
import { trySysctl, writeSysctl } from './sysctl.ts';

/**
 * Link indexes that are the slot's by construction, so that one packet of requests can make a link and use it. They start
 * high because some kernels put tunnel links of their own into every new namespace.
 */
const FIRST_ROUTER_INDEX = 1000;
const SANDBOX_INDEX = 100;

/**
 * Makes and unmakes slots: a user namespace, a network namespace owned by it (otherwise sysfs, iptables and tun do not work
 * inside), and a link from it to the router.
 */
export class SlotMaker {
  readonly #dir: string;
  readonly #plan: Plan;
  readonly #mtu: () => number;
  readonly #router: Netlink;
  readonly #connections: Netlink;
  readonly #namespaces = new NamespaceHelper();

  /**
   * @param dir where the namespaces are pinned, a folder a slot
   * @param router netlink socket of the router's namespace
   */
  constructor(options: { dir: string; plan: Plan; mtu: () => number; router: Netlink; routerFd: number }) {
    this.#dir = options.dir;
    this.#plan = options.plan;
    this.#mtu = options.mtu;
    this.#router = options.router;
    this.#connections = new Netlink(NETLINK_NETFILTER, options.routerFd);
  }

  /** @param reused an earlier sandbox may have had the index: its tracked connections are forgotten first */
  async make(index: number, reused: boolean): Promise<NetworkSlot> {
    const slot = slotPlan(this.#plan, index);
    const userNsPath = join(this.#dir, String(index), 'user');
    const netNsPath = join(this.#dir, String(index), 'net');
    if (reused) {
      await this.deleteLink(slot);
      await this.#connections.requestInBackground(forgetConnections(slot.mark));
    }
    try {
      await this.#namespaces.make((pid) => {
        const ids = `0 ${slot.idBase} ${SLOT_IDS}`;
        writeFileSync(`/proc/${pid}/uid_map`, ids);
        writeFileSync(`/proc/${pid}/gid_map`, ids);
        this.#pin(`/proc/${pid}/ns/user`, userNsPath, index);
        this.#pin(`/proc/${pid}/ns/net`, netNsPath, index);
      });
      await this.#connect(slot, netNsPath);
    } catch (error) {
      this.unpin(index);
      throw error;
    }
    return { index, userNsPath, netNsPath, idBase: slot.idBase, address: slot.addressText };
  }

  /** Lets go of the namespaces; the kernel frees them, and the link with them, when no process is left in them. */
  unpin(index: number): void {
    for (const name of ['user', 'net']) unmountAll(join(this.#dir, String(index), name));
    rmSync(join(this.#dir, String(index)), { recursive: true, force: true });
  }

  async deleteLink(slot: SlotPlan): Promise<void> {
    try {
      await this.#router.requestInBackground(deleteLink(slot.link));
    } catch (error) {
      if (errorCode(error) !== 'ENODEV') throw error;
    }
  }

  close(): void {
    this.#namespaces.close();
    this.#connections.close();
  }

  #pin(namespace: string, path: string, index: number): void {
    mkdirSync(join(this.#dir, String(index)), { recursive: true });
    unmountAll(path);
    writeFileSync(path, '');
    bindMount(namespace, path);
  }

  async #connect(slot: SlotPlan, netNsPath: string): Promise<void> {
    const netnsFd = openSync(netNsPath, constants.O_RDONLY);
    let inside: Netlink | null = null;
    try {
      inside = inNetns(netnsFd, () => {
        prepareNamespace(slot);
        return new Netlink(NETLINK_ROUTE);
      });
      const near = { name: slot.link, index: FIRST_ROUTER_INDEX + slot.index, mac: macOf('router', slot.index) };
      const far = { name: SANDBOX_LINK, index: SANDBOX_INDEX, mac: macOf('sandbox', slot.index) };
      const requests = [
        addVeth(near, far, netnsFd, this.#mtu()),
        addAddress(near.index, slot.gateway, SLOT_PREFIX),
        addNeighbour(near.index, slot.address, far.mac),
      ];
      try {
        await this.#router.requestInBackground(...requests);
      } catch (error) {
        if (errorCode(error) !== 'EEXIST') throw error;
        await this.deleteLink(slot); // of a sandbox whose last process has not been reaped yet
        await this.#router.requestInBackground(...requests);
      }
      await inside.requestInBackground(
        setUp(LOOPBACK_INDEX),
        setUp(far.index),
        addAddress(far.index, slot.address, SLOT_PREFIX),
        addNeighbour(far.index, slot.gateway, near.mac),
        addRoute(0, 0, slot.gateway, far.index),
      );
    } finally {
      inside?.close();
      closeSync(netnsFd);
    }
  }
}

/**
 * Settings of a sandbox's namespace. `::1` stays on `lo`, because programs bind it; other links get no IPv6. Ports below
 * 1024 and ping need no privilege, as in other container engines: the sandbox is alone with its addresses.
 */
function prepareNamespace(slot: SlotPlan): void {
  trySysctl('ipv6/conf/default/disable_ipv6', 1);
  writeSysctl('ipv4/ip_unprivileged_port_start', 0);
  writeSysctl('ipv4/ping_group_range', `${slot.idBase} ${slot.idBase + SLOT_IDS - 1}`);
}

type Helper = ChildProcessByStdio<Writable, Readable, null>;

/**
 * One shell for all slots: a line to it makes it start a process in new namespaces, which tells its id and lives until the
 * next line. Forking from a small process keeps the runner's event loop free of it.
 */
class NamespaceHelper {
  #helper: Helper | null = null;
  #busy = false;

  /** @param use called while a process with this id holds the namespaces */
  async make(use: (pid: number) => void): Promise<void> {
    if (this.#busy) throw new Error('the namespace helper makes one pair at a time');
    this.#busy = true;
    const helper = (this.#helper ??= startHelper());
    try {
      const pid = await ask(helper);
      use(pid);
      helper.stdin.write('\n');
    } catch (error) {
      // Half a conversation cannot be continued; the next pair gets a new helper.
      this.#drop();
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  close(): void {
    this.#drop();
  }

  #drop(): void {
    this.#helper?.stdin.destroy(); // end of input ends the shell and the process that it waits for
    this.#helper = null;
  }
}

const HELPER_SCRIPT = 'while read -r _; do unshare --user --net -- sh -c \'echo $$; read -r _\' || echo failed; done';

function startHelper(): Helper {
  const helper = spawn('sh', ['-c', HELPER_SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] });
  helper.stdin.on('error', () => undefined); // `ask` sees the exit
  helper.on('error', () => undefined);
  helper.unref();
  return helper;
}

/** A pair takes 5 ms; a machine that cannot make one in this time has other troubles, which the error names. */
const PAIR_TIMEOUT_MS = 10_000;

function ask(helper: Helper): Promise<number> {
  return new Promise((resolve, reject) => {
    let reply = '';
    const settle = (outcome: () => void): void => {
      clearTimeout(timer);
      helper.stdout.off('data', read);
      helper.off('close', gone);
      outcome();
    };
    const fail = (why: string): void => settle(() => reject(new Error(`cannot make a user and network namespace: ${why}`)));
    const read = (chunk: Buffer): void => {
      reply += chunk.toString('latin1');
      if (!reply.endsWith('\n')) return;
      const pid = Number(reply);
      if (Number.isInteger(pid) && pid > 1) settle(() => resolve(pid));
      else fail('unshare failed');
    };
    const gone = (): void => fail('the helper ended');
    const timer = setTimeout(() => fail('timeout'), PAIR_TIMEOUT_MS);
    helper.stdout.on('data', read);
    helper.once('close', gone);
    helper.stdin.write('\n');
  });
}
