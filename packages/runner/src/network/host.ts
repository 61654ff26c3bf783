import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout } from '@paddock/contract';
import { errorCode } from '../sys/index.ts';
import { formatBlock, withoutNested } from './cidr.ts';
import type { Block } from './cidr.ts';
import { loadRules, run } from './command.ts';
import { countRules, generation } from './elements.ts';
import { acceptInForeignChains, leaveForeignChains } from './foreign-forward.ts';
import { ANY_UPLINK, readHostFacts } from './host-facts.ts';
import type { HostFacts } from './host-facts.ts';
import { deleteLink, listLinks } from './links.ts';
import type { NetworkLog } from './log.ts';
import { Netlink, NETLINK_NETFILTER, NETLINK_ROUTE } from './netlink.ts';
import type { Plan } from './plan.ts';
import { hostBlocksRules, hostRules } from './ruleset.ts';
import { readSysctl, writeSysctl } from './sysctl.ts';

/**
 * The host's side of the uplink: address translation, forwarding, and the list of the host's own addresses that the
 * router refuses. All of it is level-triggered: `refresh` makes it so, whatever happened before.
 */
export class Host {
  readonly route = new Netlink(NETLINK_ROUTE);
  readonly #filter = new Netlink(NETLINK_NETFILTER);
  readonly #layout: Layout;
  readonly #log: NetworkLog;
  readonly #routerFd: number;
  readonly #memory: string;
  /** Links on which this instance switched forwarding on. */
  #switchedOn: string[];
  /** What the kernel was last given, to do nothing when nothing changed. */
  #rules = '';
  #ruleCount = 0;
  #blocks = '';
  #generation = -1;
  #refreshing: Promise<void> | null = null;
  #again = false;
  #closed = false;

  constructor(layout: Layout, routerFd: number, log: NetworkLog) {
    this.#layout = layout;
    this.#routerFd = routerFd;
    this.#log = log;
    this.#memory = join(layout.runDir, 'forwarding.json');
    this.#switchedOn = readNames(this.#memory);
  }

  facts(): HostFacts {
    return readHostFacts(this.route, this.#layout.uplink);
  }

  /** Brings host and router in line with the host's present links, addresses and rules. Calls during a run cause one more. */
  refresh(plan: Plan): Promise<void> {
    this.#again = true;
    this.#refreshing ??= (async () => {
      try {
        while (this.#again && !this.#closed) {
          this.#again = false;
          await this.#refreshOnce(plan);
        }
      } finally {
        this.#refreshing = null;
      }
    })();
    return this.#refreshing;
  }

  /** Cheap look (some 100 µs) at what other tools like to undo. @returns whether a refresh is due */
  isDisturbed(): boolean {
    return generation(this.#filter) !== this.#generation || readSysctl(`ipv4/conf/${this.#layout.uplink}/forwarding`) !== '1'
      || this.#switchedOn.some((name) => readSysctl(`ipv4/conf/${name}/forwarding`) === '0');
  }

  /** @param last also removes every trace from the host */
  async close(last: boolean): Promise<void> {
    this.#closed = true;
    await this.#refreshing?.catch(() => undefined); // its caller has been told
    if (last) await this.#remove();
    this.route.close();
    this.#filter.close();
  }

  async #refreshOnce(plan: Plan): Promise<void> {
    const facts = this.facts();
    await this.#refuseHost(facts.own);
    const guarded = this.#forward(facts.exits);
    const rules = hostRules(this.#layout.nftTable, this.#layout.uplink, plan, guarded);
    const present = countRules(this.#filter, this.#layout.nftTable);
    if (rules !== this.#rules || present === null || present !== this.#ruleCount) {
      if (this.#rules !== '' && rules === this.#rules) this.#log.warn({ table: this.#layout.nftTable, present }, 'host rules were changed by another program; restored');
      await loadRules(rules);
      this.#rules = rules;
      this.#ruleCount = countRules(this.#filter, this.#layout.nftTable) ?? 0;
    }
    await acceptInForeignChains(this.#layout.nftTable, this.#layout.uplink);
    this.#generation = generation(this.#filter);
  }

  async #refuseHost(own: readonly Block[]): Promise<void> {
    const blocks = withoutNested(own).map(formatBlock).join();
    if (blocks === this.#blocks) return;
    await loadRules(hostBlocksRules(own), this.#routerFd);
    this.#blocks = blocks;
  }

  /**
   * Forwarding, link by link: the host as a whole is not made a router. When somebody else has switched it on for all,
   * nothing is left to do and nothing to guard.
   * @returns links that forward for sandboxes only
   */
  #forward(exits: readonly string[]): string[] {
    writeSysctl(`ipv4/conf/${this.#layout.uplink}/forwarding`, 1);
    const forAll = readSysctl('ipv4/ip_forward') === '1';
    const switchedOn = forAll ? [] : this.#switchedOn.filter((name) => exits.includes(name));
    if (!forAll) {
      // A link that forwards already beside another instance was switched on by that one: whoever leaves last switches off.
      const shared = this.#otherInstances();
      for (const name of exits) {
        if (!switchedOn.includes(name) && (shared || readSysctl(`ipv4/conf/${name}/forwarding`) === '0')) switchedOn.push(name);
      }
    }
    if (switchedOn.join() !== this.#switchedOn.join()) this.#remember(switchedOn);
    for (const name of switchedOn) writeSysctl(`ipv4/conf/${name}/forwarding`, 1);
    return switchedOn;
  }

  /** Written before the switch, so that a killed runner's successor switches off what was switched on. */
  #remember(names: string[]): void {
    mkdirSync(this.#layout.runDir, { recursive: true });
    writeFileSync(this.#memory, JSON.stringify(names));
    this.#switchedOn = names;
  }

  #otherInstances(): boolean {
    return listLinks(this.route).some((link) => ANY_UPLINK.test(link.name) && link.name !== this.#layout.uplink);
  }

  async #remove(): Promise<void> {
    await leaveForeignChains(this.#layout.nftTable, this.#layout.uplink);
    try {
      this.route.request(deleteLink(this.#layout.uplink));
    } catch (error) {
      if (errorCode(error) !== 'ENODEV') throw error;
    }
    if (!this.#otherInstances() && readSysctl('ipv4/ip_forward') === '0') {
      for (const name of this.#switchedOn) {
        if (readSysctl(`ipv4/conf/${name}/forwarding`) === '1') writeSysctl(`ipv4/conf/${name}/forwarding`, 0);
      }
    }
    rmSync(this.#memory, { force: true });
    if (countRules(this.#filter, this.#layout.nftTable) !== null) await run('nft', ['delete', 'table', 'inet', this.#layout.nftTable]);
  }
}

function readNames(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return []; // first start
  }
  const value: unknown = JSON.parse(text);
  return Array.isArray(value) ? value.filter((name) => typeof name === 'string') : [];
}
