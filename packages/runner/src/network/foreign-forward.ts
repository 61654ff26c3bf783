import { readFileSync } from 'node:fs';
import { run } from './command.ts';

/**
 * Firewalls of others that drop what they do not know, as Docker's does: an accept in Paddock's own table cannot undo a
 * drop in theirs, so two rules go into their chain. The rules are stateless on purpose: `iptables` can read them where
 * it owns the chain, and what may come back is decided by Paddock's own table.
 */

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
}

interface NftChain extends Chain {
  readonly hook?: string;
  readonly policy?: string;
}

/** Chain that Docker keeps for rules of others, and evaluates before its own. */
const DOCKER_CHAIN = 'DOCKER-USER';
const IPV4_FAMILIES = new Set(['ip', 'inet']);

async function nftJson(args: readonly string[]): Promise<Record<string, unknown>[]> {
  const reply = JSON.parse(await run('nft', ['-j', ...args])) as { nftables: Record<string, unknown>[] };
  return reply.nftables;
}

async function droppingChains(ownTable: string): Promise<Chain[]> {
  const chains = (await nftJson(['list', 'chains'])).flatMap((item) => (item.chain === undefined ? [] : [item.chain as NftChain]));
  const others = chains.filter((chain) => IPV4_FAMILIES.has(chain.family) && chain.table !== ownTable);
  return others
    .filter((chain) => chain.hook === 'forward' && chain.policy === 'drop')
    .map((chain) => others.find((other) => other.name === DOCKER_CHAIN && other.family === chain.family && other.table === chain.table) ?? chain);
}

interface NftRule {
  readonly handle: number;
}

/** Known by the uplink's name: `iptables-restore` writes a rule anew in its own way, without nft's comment. */
async function ownRules(chain: Chain, uplink: string): Promise<NftRule[]> {
  const items = await nftJson(['-a', 'list', 'chain', chain.family, chain.table, chain.name]);
  return items.flatMap((item) => (item.rule === undefined ? [] : [item.rule as NftRule])).filter((rule) => JSON.stringify(rule).includes(`"${uplink}"`));
}

/** Lets the uplink's packets through every foreign forward chain whose policy is drop. Idempotent. */
export async function acceptInForeignChains(ownTable: string, uplink: string): Promise<void> {
  for (const chain of await droppingChains(ownTable)) {
    if ((await ownRules(chain, uplink)).length >= 2) continue;
    const where = `${chain.family} ${chain.table} ${chain.name}`;
    const rules = ['iifname', 'oifname'].map((side) => `insert rule ${where} ${side} "${uplink}" counter accept comment "${ownTable}"\n`);
    await run('nft', ['-f', '-'], { input: rules.join('') });
  }
  await withLegacyIptables(async (iptables) => {
    const listing = await run(iptables, ['-w', '5', '-S']);
    const docker = listing.includes(`-N ${DOCKER_CHAIN}\n`);
    if (!docker && !listing.includes('-P FORWARD DROP\n')) return;
    for (const rule of legacyRules(docker ? DOCKER_CHAIN : 'FORWARD', uplink)) {
      if (!listing.includes(`-A ${rule.join(' ')}\n`)) await run(iptables, ['-w', '5', '-I', ...rule]);
    }
  });
}

/** Takes the rules out again, wherever they are. */
export async function leaveForeignChains(ownTable: string, uplink: string): Promise<void> {
  const chains = (await nftJson(['list', 'chains'])).flatMap((item) => (item.chain === undefined ? [] : [item.chain as NftChain]));
  for (const chain of chains) {
    if (!IPV4_FAMILIES.has(chain.family) || chain.table === ownTable) continue;
    if (chain.hook !== 'forward' && chain.name !== DOCKER_CHAIN) continue;
    for (const rule of await ownRules(chain, uplink)) {
      await run('nft', ['delete', 'rule', chain.family, chain.table, chain.name, 'handle', String(rule.handle)]);
    }
  }
  await withLegacyIptables(async (iptables) => {
    const listing = await run(iptables, ['-w', '5', '-S']);
    for (const rule of [...legacyRules(DOCKER_CHAIN, uplink), ...legacyRules('FORWARD', uplink)]) {
      if (listing.includes(`-A ${rule.join(' ')}\n`)) await run(iptables, ['-w', '5', '-D', ...rule]);
    }
  });
}

function legacyRules(chain: string, uplink: string): string[][] {
  return [[chain, '-i', uplink, '-j', 'ACCEPT'], [chain, '-o', uplink, '-j', 'ACCEPT']];
}

/** The old iptables keeps its rules where nft does not see them; it is in use when it has loaded its filter table. */
export function usesLegacyIptables(): boolean {
  try {
    return readFileSync('/proc/thread-self/net/ip_tables_names', 'utf8').split('\n').includes('filter');
  } catch {
    return false; // a kernel without it
  }
}

async function withLegacyIptables(work: (iptables: string) => Promise<void>): Promise<void> {
  if (!usesLegacyIptables()) return;
  for (const name of ['iptables-legacy', 'iptables']) {
    try {
      await run(name, ['--version']);
    } catch {
      continue; // not installed
    }
    await work(name);
    return;
  }
}
