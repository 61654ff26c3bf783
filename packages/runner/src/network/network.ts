import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout, NetworkPolicy, PaddockConfig } from '@paddock/contract';
import type { Network, NetworkSlot } from '../types.ts';
import { blockOf, formatAddress, parseAddress, parseBlock } from './cidr.ts';
import type { Block } from './cidr.ts';
import { changeElements, listElements } from './elements.ts';
import { usesLegacyIptables } from './foreign-forward.ts';
import { Host } from './host.ts';
import { listLinks } from './links.ts';
import { SILENT } from './log.ts';
import type { NetworkLog } from './log.ts';
import { configuredBase, freeCandidates, SLOT_LINK, slotPlan } from './plan.ts';
import type { Plan } from './plan.ts';
import { accessOf, changesBetween, NO_ACCESS, readAllowedKey, SET_ALLOWED, SET_OPEN, SET_RESOLVING } from './policy.ts';
import type { Access } from './policy.ts';
import { Resolver } from './resolver.ts';
import { Router } from './router.ts';
import { ROUTER_TABLE } from './ruleset.ts';
import { SlotMaker } from './slot-maker.ts';
import { SlotPool } from './slot-pool.ts';
import { Upstreams } from './upstream.ts';

/**
 * Never reached, whatever is configured: loopback, multicast, broadcast and reserved blocks, and the addresses outside
 * link-local at which clouds answer with credentials (Azure, Alibaba, Oracle).
 */
const ALWAYS_DENIED = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '168.63.129.16/32', '100.100.100.200/32', '192.0.0.192/32'];

/** How often the host is looked at for rules and settings that another program undid. A look takes some 100 µs. */
const CHECK_MS = 2_000;
/** Legacy iptables does not tell whether its rules changed: where it is in use they are read every 30 s, in 20 ms. */
const LOOKS_PER_LEGACY_CHECK = 15;
/** One change of a host's network comes as many lines; the first of them is acted on after this time. */
const SETTLE_MS = 50;
const MONITOR_RESTART_MS = 1_000;

export interface NetworkOptions {
  readonly layout: Layout;
  readonly config: PaddockConfig['network'];
  readonly log?: NetworkLog;
}

interface Parts {
  readonly router: Router;
  readonly host: Host;
  readonly plan: Plan;
  readonly maker: SlotMaker;
  readonly pool: SlotPool;
  readonly resolver: Resolver;
}

export function createNetwork(options: NetworkOptions): Network {
  return new RouterNetwork(options);
}

class RouterNetwork implements Network {
  readonly #layout: Layout;
  readonly #config: PaddockConfig['network'];
  readonly #log: NetworkLog;
  readonly #upstreams: Upstreams;
  readonly #slotsDir: string;
  /** What the kernel has for each slot that is not without access. */
  readonly #access = new Map<number, Access>();
  /** Slots of which an earlier runner left a link or a policy, until `adopt` says which of them are in use. */
  #left: ReadonlySet<number> = new Set();
  #parts: Parts | null = null;
  #monitor: ChildProcess | null = null;
  #timer: NodeJS.Timeout | null = null;
  #settling: NodeJS.Timeout | null = null;

  constructor({ layout, config, log }: NetworkOptions) {
    this.#layout = layout;
    this.#config = config;
    this.#log = log ?? SILENT;
    this.#upstreams = new Upstreams(config.dns);
    this.#slotsDir = join(layout.runDir, 'slots');
  }

  get resolver(): string {
    return formatAddress(this.#opened.plan.resolver);
  }

  async open(): Promise<void> {
    const started = performance.now();
    const denied = [...ALWAYS_DENIED, ...this.#config.denied].map(requireBlock);
    mkdirSync(this.#slotsDir, { recursive: true });
    const router = await Router.open(this.#layout);
    const host = new Host(this.#layout, router.netnsFd, this.#log);
    const undo: (() => unknown)[] = [() => router.close(router.isNew), () => host.close(router.isNew)];
    try {
      const facts = host.facts();
      const bases = this.#config.subnet === null
        ? freeCandidates(this.#layout.instance, [...facts.routed, ...this.#upstreamBlocks()])
        : [configuredBase(this.#config.subnet)];
      const plan = router.connect(host.route, bases, facts.mtu);
      if (this.#config.subnet !== null && plan.base !== bases[0]) {
        this.#log.warn({ subnet: this.#config.subnet, inUse: formatAddress(plan.base) }, 'sandboxes run in another subnet; the configured one counts when none runs');
      }
      await router.enforce(plan, denied);
      await host.refresh(plan);
      this.#readAccess(router, plan);
      const links = listLinks(router.route).flatMap((link) => SLOT_LINK.exec(link.name)?.[1] ?? []).map(Number);
      this.#left = new Set([...links, ...this.#access.keys()]);
      const resolver = await Resolver.listen(plan.resolver, router.netnsFd, this.#upstreams);
      undo.push(() => resolver.close());
      const maker = new SlotMaker({ dir: this.#slotsDir, plan, mtu: () => facts.mtu, router: router.route, routerFd: router.netnsFd });
      for (const name of readdirSync(this.#slotsDir)) maker.unpin(Number(name));
      const pool = new SlotPool({ make: (index, reused) => maker.make(index, reused), allReused: !router.isNew, log: this.#log });
      for (const index of this.#left) pool.reserve(index);
      this.#parts = { router, host, plan, maker, pool, resolver };
      this.#watch(host, plan);
      pool.fill();
      this.#log.info({ subnet: formatAddress(plan.base), mtu: facts.mtu, newRouter: router.isNew, left: this.#left.size, ms: Math.round(performance.now() - started) }, 'network open');
    } catch (error) {
      for (const step of undo.reverse()) await Promise.resolve(step()).catch((cause: unknown) => this.#log.warn({ err: cause }, 'could not undo a failed start of the network'));
      throw error;
    }
  }

  take(): Promise<NetworkSlot> {
    return this.#opened.pool.take();
  }

  async apply(slot: number, policy: NetworkPolicy): Promise<void> {
    this.#setAccess(slot, accessOf(policy, this.#upstreamBlocks()));
  }

  async release(slot: number): Promise<void> {
    const { pool, maker } = this.#opened;
    if (!pool.isHandedOut(slot)) return;
    this.#setAccess(slot, NO_ACCESS);
    maker.unpin(slot);
    pool.giveBack(slot);
  }

  async adopt(slots: ReadonlySet<number>): Promise<void> {
    const { pool, maker, plan } = this.#opened;
    for (const slot of slots) pool.reserve(slot);
    const stale = [...this.#left].filter((index) => !slots.has(index));
    this.#left = new Set();
    for (const index of stale) {
      this.#setAccess(index, NO_ACCESS);
      await maker.deleteLink(slotPlan(plan, index));
      pool.giveBack(index);
    }
  }

  async close(last: boolean): Promise<void> {
    const parts = this.#parts;
    if (parts === null) return;
    this.#parts = null;
    this.#unwatch();
    await parts.resolver.close();
    for (const slot of await parts.pool.close()) parts.maker.unpin(slot.index);
    for (const name of readdirSync(this.#slotsDir)) parts.maker.unpin(Number(name));
    parts.maker.close();
    await parts.host.close(last);
    await parts.router.close(last);
  }

  get #opened(): Parts {
    if (this.#parts === null) throw new Error('the network is not open');
    return this.#parts;
  }

  #setAccess(index: number, access: Access): void {
    const { router, plan } = this.#opened;
    const before = this.#access.get(index) ?? NO_ACCESS;
    changeElements(router.filter, ROUTER_TABLE, changesBetween(slotPlan(plan, index), before, access));
    if (access === NO_ACCESS) this.#access.delete(index);
    else this.#access.set(index, access);
  }

  /** Policies live in the kernel; a new runner reads what its predecessor set. */
  #readAccess(router: Router, plan: Plan): void {
    if (router.isNew) return;
    const found = new Map<number, { open: boolean; resolves: boolean; blocks: Block[] }>();
    const at = (index: number) => {
      const entry = found.get(index) ?? { open: false, resolves: false, blocks: [] };
      found.set(index, entry);
      return entry;
    };
    const indexOf = (key: Buffer): number => Number(SLOT_LINK.exec(key.toString('latin1').replace(/\0+$/, ''))?.[1]);
    for (const { start } of listElements(router.filter, ROUTER_TABLE, SET_OPEN)) at(indexOf(start)).open = true;
    for (const { start } of listElements(router.filter, ROUTER_TABLE, SET_RESOLVING)) at(indexOf(start)).resolves = true;
    for (const key of listElements(router.filter, ROUTER_TABLE, SET_ALLOWED)) {
      const { address, block } = readAllowedKey(key);
      at((address - plan.base - 2) / 4).blocks.push(block);
    }
    for (const [index, access] of found) this.#access.set(index, access);
  }

  #upstreamBlocks(): Block[] {
    return this.#upstreams.list().flatMap((server) => {
      const address = parseAddress(server);
      // An IPv6 server is in no IPv4 list; a block that only 0.0.0.0/0 covers stands for it.
      return address === null ? [{ first: 0, last: 0xffff_ffff }] : [blockOf(address, 32)];
    });
  }

  #watch(host: Host, plan: Plan): void {
    const refresh = (): void => {
      host.refresh(plan).catch((error: unknown) => this.#log.warn({ err: error }, 'could not bring the host\'s network rules up to date'));
    };
    const soon = (): void => {
      this.#settling ??= setTimeout(() => {
        this.#settling = null;
        refresh();
      }, SETTLE_MS).unref();
    };
    const startMonitor = (): void => {
      // It ends with the runner even when that is killed: a process left over would keep the runner's mounts, and so its slots, alive.
      const command = ['--pdeathsig', 'KILL', 'ip', '-4', '-o', 'monitor', 'link', 'address', 'route'];
      const monitor = spawn('setpriv', command, { stdio: ['ignore', 'pipe', 'ignore'] });
      this.#monitor = monitor;
      monitor.unref();
      monitor.stdout.on('data', soon);
      monitor.once('spawn', soon); // for what happened before it listened
      monitor.on('error', () => undefined); // 'close' follows; the timer below looks on its own
      monitor.once('close', () => {
        if (this.#monitor === monitor) setTimeout(() => this.#monitor === monitor && startMonitor(), MONITOR_RESTART_MS).unref();
      });
    };
    startMonitor();
    let looks = 0;
    this.#timer = setInterval(() => {
      looks += 1;
      if (host.isDisturbed() || (looks % LOOKS_PER_LEGACY_CHECK === 0 && usesLegacyIptables())) refresh();
    }, CHECK_MS).unref();
  }

  #unwatch(): void {
    const monitor = this.#monitor;
    this.#monitor = null;
    monitor?.kill();
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#settling !== null) clearTimeout(this.#settling);
    this.#settling = null;
  }
}

function requireBlock(text: string): Block {
  const block = parseBlock(text);
  if (block === null) throw new Error(`network.denied holds something that is no IPv4 block: ${text}`);
  return block;
}
