import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { layoutOf } from '@paddock/contract';
import type { Layout, NetworkPolicy, PaddockConfig } from '@paddock/contract';
import type { NetworkSlot } from '../../src/types.ts';

/**
 * A host to break: a network and mount namespace with a link to a second one, "the internet". Rules, sysctls and addresses
 * of the machine that runs the tests are never touched, and everything ends with the processes.
 *
 *     sandbox ── router ── host (192.0.2.2) ── internet (192.0.2.1, 198.51.100.9)
 */
export const INTERNET = '192.0.2.1';
export const ELSEWHERE = '198.51.100.9';
export const HOST = '192.0.2.2';
export const METADATA = '169.254.169.254';
/** An address of the host on a link of its own, as a second network card or a bridge has. */
export const HOST_INNER = '172.30.0.1';
/** A guest of the host on that bridge, as a container of another engine is. */
export const HOST_GUEST = '172.30.0.2';

type Child = ChildProcessByStdio<Writable, Readable, null>;

const PEER = fileURLToPath(new URL('peer.mjs', import.meta.url));
const AGENT = fileURLToPath(new URL('agent.ts', import.meta.url));

const SETUP = `set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
ip link set lo up
echo 0 > /proc/sys/net/ipv4/ip_forward
ip netns add internet
ip link add eth0 mtu 1400 type veth peer name eth0 netns internet
ip addr add ${HOST}/24 dev eth0
ip link set eth0 up
ip -n internet addr add ${INTERNET}/24 dev eth0
ip -n internet addr add ${ELSEWHERE}/32 dev lo
ip -n internet addr add ${METADATA}/32 dev lo
ip -n internet link set eth0 up
ip -n internet link set lo up
ip route add default via ${INTERNET}
ip netns add guest
ip link add br0 type bridge
ip addr add ${HOST_INNER}/24 dev br0
ip link set br0 up
ip link add g0 type veth peer name eth0 netns guest
ip link set g0 master br0 up
ip -n guest addr add ${HOST_GUEST}/24 dev eth0
ip -n guest link set eth0 up
ip -n guest link set lo up
ip -n guest route add default via ${HOST_INNER}
echo ready
cat > /dev/null`;

export interface Outcome {
  readonly ok: boolean;
  readonly text?: string;
  readonly code?: string;
  readonly megabytesPerSecond?: number;
}

export class FakeHost {
  readonly layout: Layout;
  readonly #dir = mkdtempSync(join(tmpdir(), 'network-test-'));
  readonly #children = new Set<Child>();
  readonly #holder: Child;

  private constructor() {
    this.layout = layoutOf(this.#dir, '/run/paddock');
    this.#holder = this.#start('unshare', ['--net', '--mount', '--propagation', 'private', 'sh', '-c', SETUP]);
  }

  static async start(): Promise<FakeHost> {
    const host = new FakeHost();
    await firstLine(host.#holder);
    return host;
  }

  /** The host's network namespace. */
  get netns(): string {
    return `/proc/${this.#holder.pid}/ns/net`;
  }

  /** Runs a shell command on the host. @returns what it printed */
  run(command: string): string {
    return execFileSync('nsenter', [...this.#enter(), 'sh', '-c', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Starts a peer program that stays, on the host or in one of its named namespaces. */
  async serve(where: 'host' | 'internet' | 'guest', ...args: readonly string[]): Promise<void> {
    const inside = where === 'host' ? [] : ['nsenter', `--net=/run/netns/${where}`];
    await firstLine(this.#start('nsenter', [...this.#enter(), ...inside, process.execPath, PEER, ...args]));
  }

  agent(network: Partial<PaddockConfig['network']> = {}): Promise<Agent> {
    return this.agentOf('', network);
  }

  /** @param instance a name other than empty makes another Paddock on the same host */
  agentOf(instance: string, network: Partial<PaddockConfig['network']> = {}): Promise<Agent> {
    const settings = {
      dataDir: join(this.#dir, instance),
      runRoot: '/run/paddock',
      network: { subnet: null, denied: ['169.254.0.0/16', '224.0.0.0/4'], dns: [INTERNET], ...network },
    };
    // A shell stays as the parent: the runner looks for the host's mounts there.
    const command = 'unshare --mount --propagation slave "$@"; exit $?';
    const child = this.#start('nsenter', [...this.#enter(), 'sh', '-c', command, 'sh', process.execPath, AGENT, JSON.stringify(settings)]);
    return Agent.over(child, this);
  }

  /** Runs a program with a namespace of its own or an open one. @param netns path of a namespace */
  async peer(netns: string, ...args: readonly string[]): Promise<Outcome> {
    return JSON.parse(await firstLine(this.#start('nsenter', [`--net=${netns}`, process.execPath, PEER, ...args]))) as Outcome;
  }

  /** A peer program with which the test goes on talking. */
  talk(netns: string, ...args: readonly string[]): Talk {
    return new Talk(this.#start('nsenter', [`--net=${netns}`, process.execPath, PEER, ...args]));
  }

  /** A process that keeps both namespaces of a slot alive, as a sandbox's init does. @returns its id */
  async sandbox(agent: Agent, slot: NetworkSlot): Promise<{ pid: number; net: string; user: string; end(): Promise<void> }> {
    const root = `/proc/${await agent.pid()}/root`;
    const child = this.#start('nsenter', [`--user=${root}${slot.userNsPath}`, `--net=${root}${slot.netNsPath}`, 'sh', '-c', 'echo ready; exec cat']);
    await firstLine(child);
    const pid = child.pid ?? 0;
    const end = async (): Promise<void> => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    };
    return { pid, net: `/proc/${pid}/ns/net`, user: `/proc/${pid}/ns/user`, end };
  }

  stop(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #enter(): string[] {
    return ['--target', String(this.#holder.pid), '--net', '--mount', '--'];
  }

  #start(command: string, args: readonly string[]): Child {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', process.env.NETWORK_TEST_LOG === undefined ? 'ignore' : 'inherit'] }) as Child;
    child.stdin.on('error', () => undefined);
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }
}

async function firstLine(child: Child): Promise<string> {
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([once(lines, 'line'), once(lines, 'close')]) as [string | undefined];
  if (line === undefined) throw new Error(`a program of the test ended without a word: ${child.spawnargs.slice(-6).join(' ')}`);
  lines.close();
  return line;
}

/** Lines to and from a program. */
export class Talk {
  readonly #child: Child;
  readonly #lines: string[] = [];
  #wake: () => void = () => undefined;

  constructor(child: Child) {
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#lines.push(line);
      this.#wake();
    });
  }

  say(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }

  /** @returns the next line, or null after the time */
  async hear(timeoutMs = 2000): Promise<string | null> {
    if (this.#lines.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, timeoutMs);
      });
    }
    return this.#lines.shift() ?? null;
  }
}

export class Agent {
  readonly #child: Child;
  readonly #host: FakeHost;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #next = 1;

  private constructor(child: Child, host: FakeHost) {
    this.#child = child;
    this.#host = host;
    createInterface({ input: child.stdout }).on('line', (line) => {
      const reply = JSON.parse(line) as { id: number; value?: unknown; error?: string };
      const waiter = this.#waiting.get(reply.id);
      if (reply.error === undefined) waiter?.resolve(reply.value);
      else waiter?.reject(new Error(reply.error));
      this.#waiting.delete(reply.id);
    });
    child.once('exit', () => {
      for (const waiter of this.#waiting.values()) waiter.reject(new Error('the agent ended'));
    });
  }

  static async over(child: Child, host: FakeHost): Promise<Agent> {
    const agent = new Agent(child, host);
    await agent.call('open');
    return agent;
  }

  take(): Promise<NetworkSlot> {
    return this.call('take') as Promise<NetworkSlot>;
  }

  async apply(slot: number, policy: NetworkPolicy): Promise<void> {
    await this.call('apply', slot, policy);
  }

  async call(call: string, ...args: readonly unknown[]): Promise<unknown> {
    const id = this.#next++;
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#child.stdin.write(`${JSON.stringify({ id, call, args })}\n`);
    return answer;
  }

  /** Process id of the Node process itself. */
  async pid(): Promise<number> {
    const parent = this.#child.pid ?? 0;
    const found = this.#host.run(`pgrep -P ${parent}`).trim();
    return Number(found);
  }

  async kill(): Promise<void> {
    const pid = await this.pid();
    process.kill(pid, 'SIGKILL');
    await once(this.#child, 'exit');
  }

  /** Ends the process after `close`. */
  async end(): Promise<void> {
    this.#child.stdin.end();
    await once(this.#child, 'exit');
  }
}
