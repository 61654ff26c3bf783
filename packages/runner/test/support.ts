/**
 * A whole runner for tests: its own process, data directory, mount namespace and instance id, the way the supervisor
 * starts one. Images come from a cache that outlives the test run, so that Debian is bootstrapped once a machine.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  layoutOf, sandboxRunDir, toolboxSocket, type Layout, type PaddockConfig, type RunnerEvent, type RunnerImage, type RunnerSandbox, type SandboxSpec,
} from '@paddock/contract';
import { buildToolbox } from '../../toolbox/build.ts';

/** Directory with the built layer of the default image; also read by the image store. */
export const IMAGE_CACHE = process.env['PADDOCK_IMAGE_CACHE'] ?? '/var/tmp/paddock-test-cache';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** The first run of a machine bootstraps the image. */
const IMAGE_TIMEOUT_MS = 280_000;

export interface Answer<T> {
  readonly status: number;
  readonly body: T;
}

export interface ExecResult {
  readonly exitCode: number;
  readonly result: string;
}

export class TestRunner {
  readonly layout: Layout;
  readonly config: PaddockConfig;
  readonly events: Array<RunnerEvent & { readonly at: number }> = [];
  readonly log: string[] = [];
  #child: ChildProcess | null = null;
  #ended: Promise<void> = Promise.resolve();

  constructor(dataDir: string) {
    this.layout = layoutOf(dataDir);
    this.config = testConfig(dataDir);
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  /** Starts the process and waits until its socket answers. */
  async start(): Promise<void> {
    const child = spawn('unshare', ['--mount', '--propagation', 'slave', '--', process.execPath, MAIN], {
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, PADDOCK_SUPERVISED: '1', PADDOCK_IMAGE_CACHE: IMAGE_CACHE },
    });
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once('close', () => resolve()));
    for (const stream of [child.stdout!, child.stderr!]) createInterface({ input: stream }).on('line', (line) => this.log.push(line));
    child.stdin!.on('error', () => {});
    child.stdin!.write(`${JSON.stringify(this.config)}\n`);
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdio[3] as NodeJS.ReadableStream }).once('line', () => resolve());
      void this.#ended.then(() => reject(new Error(`the runner ended:\n${this.log.slice(-20).join('\n')}`)));
    });
    await this.#listen();
  }

  /** Waits until the default image can be used. */
  async ready(): Promise<void> {
    const deadline = Date.now() + IMAGE_TIMEOUT_MS;
    for (;;) {
      const { body } = await this.ask<{ images: RunnerImage[] }>('GET', '/v1/images');
      const image = body.images.find(({ name }) => name === 'slim');
      if (image?.state === 'ready') return;
      if (image?.state === 'failed' || Date.now() > deadline) throw new Error(`image: ${JSON.stringify(image)}\n${this.log.slice(-20).join('\n')}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async kill9(): Promise<void> {
    this.#child!.kill('SIGKILL');
    await this.#ended;
  }

  /** Graceful; sandboxes go on running. */
  async stop(): Promise<void> {
    this.#child!.kill('SIGTERM');
    await this.#ended;
  }

  /** Deletes every sandbox, stops the runner and removes its data. */
  async destroy(): Promise<void> {
    if (this.#child!.exitCode === null && this.#child!.signalCode === null) {
      const sandboxes = await this.list();
      await Promise.all(sandboxes.map(({ id }) => this.remove(id)));
      await this.stop();
    }
    rmSync(this.layout.dataDir, { recursive: true, force: true });
    rmSync(this.layout.runDir, { recursive: true, force: true });
  }

  ask<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
    return askUnix<T>(this.layout.runnerSocket, method, path, body);
  }

  async put(spec: SandboxSpec): Promise<Answer<RunnerSandbox & { trace: Array<[string, number]>; toolboxVersion: string; code?: string; message?: string }>> {
    return this.ask('PUT', `/v1/sandboxes/${spec.id}`, spec);
  }

  /** Creates a sandbox and returns its spec; throws when that fails. */
  async create(over: Partial<SandboxSpec> = {}): Promise<SandboxSpec> {
    const spec = specOf(over);
    const { status, body } = await this.put(spec);
    if (status !== 200) throw new Error(`PUT answered ${status}: ${JSON.stringify(body)}`);
    return spec;
  }

  async list(): Promise<RunnerSandbox[]> {
    return (await this.ask<{ sandboxes: RunnerSandbox[] }>('GET', '/v1/sandboxes')).body.sandboxes;
  }

  async get(id: string): Promise<RunnerSandbox> {
    return (await this.ask<RunnerSandbox>('GET', `/v1/sandboxes/${id}`)).body;
  }

  async remove(id: string): Promise<void> {
    const { status, body } = await this.ask('DELETE', `/v1/sandboxes/${id}`);
    if (status !== 204) throw new Error(`DELETE answered ${status}: ${JSON.stringify(body)}`);
  }

  /** Runs a shell command in the sandbox through its toolbox. */
  async exec(id: string, command: string, timeoutSeconds = 30): Promise<ExecResult> {
    const { status, body } = await askUnix<ExecResult>(toolboxSocket(this.layout, id), 'POST', '/process/execute', { command: `sh -c ${shellWord(command)}`, timeout: timeoutSeconds });
    if (status !== 200) throw new Error(`execute answered ${status}: ${JSON.stringify(body)}`);
    return body;
  }

  /** Standard output and error of a command. */
  async output(id: string, command: string, timeoutSeconds = 30): Promise<string> {
    return (await this.exec(id, command, timeoutSeconds)).result.trim();
  }

  /** Host pid of the sandbox's init. */
  initPid(id: string): number {
    return Number(readFileSync(join(sandboxRunDir(this.layout, id), 'pid'), 'utf8'));
  }

  /** Waits for an event that matches; events of the past count. */
  async event(matches: (event: RunnerEvent) => boolean, timeoutMs = 5_000): Promise<RunnerEvent & { readonly at: number }> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = this.events.find(matches);
      if (found !== undefined) return found;
      if (Date.now() > deadline) throw new Error(`no such event; got ${JSON.stringify(this.events.slice(-5))}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async #listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const call = request({ socketPath: this.layout.runnerSocket, path: '/v1/events' }, (response) => {
        const lines = createInterface({ input: response });
        lines.on('line', (line) => {
          this.events.push({ ...(JSON.parse(line) as RunnerEvent), at: performance.now() });
          resolve();
        });
        for (const stream of [response, lines]) stream.on('error', () => {}); // the runner was killed
      });
      call.on('error', reject);
      call.end();
    });
  }
}

/** Boots a runner in a fresh data directory and waits for the image. */
export async function bootRunner(configure: (config: PaddockConfig) => void = () => {}): Promise<TestRunner> {
  await buildGuest();
  const runner = new TestRunner(mkdtempSync('/tmp/paddock-runner-'));
  configure(runner.config);
  await runner.start();
  await runner.ready();
  return runner;
}

/** dist/guest of the current sources, which the guest runtime takes in. */
async function buildGuest(): Promise<void> {
  const staging = join(ROOT, `dist/.guest-test-${process.pid}`);
  await buildToolbox(staging);
  mkdirSync(join(ROOT, 'dist/guest'), { recursive: true });
  for (const name of readdirSync(staging)) renameSync(join(staging, name), join(ROOT, 'dist/guest', name));
  rmSync(staging, { recursive: true });
}

export function specOf(over: Partial<SandboxSpec> = {}): SandboxSpec {
  return {
    id: randomUUID(), image: 'slim', user: 'daytona', env: {}, cpu: 1, memoryGiB: 1, diskGiB: 1,
    network: { blockAll: false, allowList: null }, volumes: [], entrypoint: null, token: 'test-token', ...over,
  };
}

function testConfig(dataDir: string): PaddockConfig {
  return {
    dataDir, runRoot: '/run/paddock', host: '127.0.0.1', port: 0, sshPort: 0, publicUrl: 'http://localhost', previewDomain: 'localhost', previewProtocol: 'http',
    trustedProxies: [], databaseUrl: null, adminApiKey: null, healthApiKey: null, serviceUser: 'paddock', region: 'us', defaultSnapshot: 'daytona-small',
    warmPool: {}, pool: { sizeGiB: 40, device: null }, volumes: { driver: 'local', sizeGiB: 1 }, builds: { cpus: 2, memoryGiB: 4, diskGiB: 20, timeoutMinutes: 60, atOnce: 2, caFile: null }, image: { default: 'slim', suite: 'trixie', mirror: null }, images: { publish: 'auto' }, registries: { insecure: [], mirrors: {}, imageLimitGiB: 50 },
    network: { subnet: null, denied: ['169.254.0.0/16', '224.0.0.0/4'], dns: null },
    objectStore: { endpoint: null, stsEndpoint: null, region: 'us-east-1', accessKey: null, secretKey: null, bucket: 'daytona-volume-builds', accountId: null, roleName: null },
    amazon: { brokerRoleArn: null, accessKeyId: null, secretAccessKey: null, sessionToken: null, roleArn: null, webIdentityTokenFile: null, stsEndpoint: null, ecrEndpoint: null },
    logLevel: 'info',
  };
}

export function askUnix<T>(socketPath: string, method: string, path: string, body?: unknown): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body);
    const call = request({
      socketPath, method, path, agent: false, headers: body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
    }, (response) => {
      let reply = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (reply += chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode!, body: (reply === '' ? undefined : JSON.parse(reply)) as T }));
    });
    call.on('error', reject);
    call.end(text);
  });
}

function shellWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Everything of one instance that exists on the machine, outside its data directory. Empty once it is gone. */
export function traces(layout: Layout): string[] {
  const found: string[] = [];
  const run = (program: string, ...args: string[]): string => spawnSync(program, args, { encoding: 'utf8' }).stdout;
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) if (line.includes(layout.instance) || line.includes(layout.dataDir)) found.push(`mount ${line}`);
  for (const hierarchy of readdirSync('/sys/fs/cgroup')) {
    const group = join('/sys/fs/cgroup', hierarchy, layout.cgroup);
    if (existsSync(group)) found.push(`cgroup ${group}: ${readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name).join(' ')}`);
  }
  for (const line of run('ip', 'netns').split('\n')) if (line.startsWith(layout.routerNetns)) found.push(`netns ${line}`);
  for (const line of run('ip', '-o', 'link').split('\n')) if (line.includes(layout.uplink)) found.push(`link ${line}`);
  for (const line of run('nft', 'list', 'tables').split('\n')) if (line.includes(layout.nftTable)) found.push(`nft ${line}`);
  for (const line of run('losetup', '--all').split('\n')) if (line.includes(layout.dataDir)) found.push(`loop ${line}`);
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const command = commandOf(pid);
    if (command.includes(layout.instance)) found.push(`process ${pid} ${command}`);
  }
  return found;
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // ended meanwhile
  }
}
