import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ChildMessage, type Layout, layoutOf, type PaddockConfig, type RunnerImage } from '@paddock/contract';
import { describeReport, examine } from '../doctor/index.ts';
import { type Lock, tryLock } from '../host/lock.ts';
import { isAlive, outlast } from '../host/process-identity.ts';
import { ensureServiceUser } from '../host/service-user.ts';
import { startPostgres } from '../postgres/index.ts';
import { watchImages } from './image-watch.ts';
import { KeptAlive, type Run } from './kept-alive.ts';
import { startNodeChild } from './node-child.ts';
import { createOutput, type Output } from './output.ts';
import { type PartName, readState, StateFile } from './state-file.ts';

/**
 * Time a part has to stop after it was asked: the control plane ends open requests (9 s at most), the runner operations
 * under way (12 s at most).
 */
const STOP_MS = 15_000;

/** Parts of an earlier supervisor that was killed stop by themselves; those that have not after this long are killed. */
const ORPHAN_GRACE_MS = STOP_MS;

/**
 * Bytes of transfers come in buffers of 64 KiB outside the heap, which go when the young generation is collected. With the default of
 * 16 MiB that happens so rarely that V8 collects everything instead, once for every 20 MB that pass: more than the copying costs. With
 * 1 MiB a gigabyte passes with half the processor time and half the memory.
 */
const NODE_FLAGS = ['--max-semi-space-size=1', '--heap-growing-percent=200'];

/** Runs the server in the foreground until a signal. @returns exit status */
export async function up(config: PaddockConfig): Promise<number> {
  const output = createOutput(process.stdout, config.logLevel);
  const report = await examine(config, 'start');
  if (!report.works) {
    process.stderr.write(`Paddock cannot run here:\n${describeReport({ ...report, findings: report.findings.filter((finding) => finding.status === 'fail') })}\n\`paddock doctor\` checks everything.\n`);
    return 1;
  }
  const layout = layoutOf(config.dataDir, config.runRoot);
  makeDirectories(layout, config);
  const lock = await takeOver(layout);
  if (typeof lock === 'string') {
    process.stderr.write(`${lock}\n`);
    return 1;
  }
  try {
    return await new Supervisor(config, layout, output).run();
  } finally {
    lock.release();
  }
}

function makeDirectories(layout: Layout, config: PaddockConfig): void {
  ensureServiceUser(config.serviceUser);
  mkdirSync(layout.dataDir, { recursive: true, mode: 0o700 });
  mkdirSync(layout.logDir, { recursive: true, mode: 0o700 });
  // The control plane, which is not root, connects to sockets in here; what is in it guards itself.
  mkdirSync(layout.runDir, { recursive: true, mode: 0o755 });
}

/** Makes this process the only supervisor of the data directory. @returns the lock, or why it cannot be had */
async function takeOver(layout: Layout): Promise<Lock | string> {
  const lock = tryLock(join(layout.dataDir, 'lock'));
  const earlier = readState(layout);
  if (!lock) return `Paddock already runs on ${layout.dataDir}${earlier ? ` (process ${earlier.supervisor.pid}, ${earlier.publicUrl})` : ''}. \`paddock down\` stops it.`;
  // The lock is free, so that supervisor is gone; its parts may be on their way out.
  if (earlier && !isAlive(earlier.supervisor)) {
    const { runner, control } = earlier.parts;
    await outlast([runner, control].filter((part) => part !== undefined), ORPHAN_GRACE_MS);
  }
  return lock;
}

/** The parts of one instance, their order of start and stop, and what the operator sees of it. */
class Supervisor {
  readonly #config: PaddockConfig;
  readonly #layout: Layout;
  readonly #output: Output;
  readonly #state: StateFile;
  readonly #parts: KeptAlive[];
  /** Filled in by the embedded database. */
  #databaseUrl: string | null;
  #apiAnswers = false;
  /** The one of the default snapshots; all others are their users' business. */
  #image: RunnerImage | null = null;
  /** The control plane knows that the image is there. */
  #usable = false;

  constructor(config: PaddockConfig, layout: Layout, output: Output) {
    this.#config = config;
    this.#layout = layout;
    this.#output = output;
    this.#databaseUrl = config.databaseUrl;
    this.#state = new StateFile(layout, { port: config.port, publicUrl: config.publicUrl });
    this.#parts = [
      ...(config.databaseUrl === null ? [this.#part('postgres', () => this.#startPostgres())] : []),
      this.#part('runner', () => this.#startRunner()),
      this.#part('control', () => this.#startControl()),
    ];
  }

  async run(): Promise<number> {
    const asked = this.#untilAsked();
    const failed = this.#start().then(() => new Promise<never>(() => {}), (error: Error) => error);
    const end = await Promise.race([asked, failed]);
    if (end instanceof Error && !this.#stopping) this.#output.log('error', end.message);
    await this.#stop();
    return end instanceof Error ? 1 : 0;
  }

  #stopping = false;

  /** Database and runner do not need each other; the control plane needs the database. */
  async #start(): Promise<void> {
    const named = (name: PartName) => this.#parts.find((part) => part.name === name);
    const runner = named('runner')?.start();
    runner?.catch(() => {}); // awaited below
    await named('postgres')?.start();
    await Promise.all([runner, named('control')?.start()]);
  }

  /** Resolves at the first signal that asks to stop; the second does not wait for anything. */
  #untilAsked(): Promise<'asked'> {
    return new Promise((resolve) => {
      let signals = 0;
      const onSignal = () => {
        signals += 1;
        if (signals === 1) return resolve('asked');
        for (const part of this.#parts) part.kill();
        process.exit(130);
      };
      process.on('SIGINT', onSignal);
      process.on('SIGTERM', onSignal);
      process.on('SIGHUP', onSignal);
    });
  }

  /** In the order of dependence: nobody finds the part gone that it still needs. Sandboxes go on running. */
  async #stop(): Promise<void> {
    this.#stopping = true;
    this.#output.progress(null);
    this.#output.log('info', 'stopping; sandboxes keep running (`paddock destroy` removes them)');
    this.#state.enter('stopping');
    for (const name of ['control', 'runner', 'postgres']) await this.#parts.find((part) => part.name === name)?.stop();
    this.#state.remove();
  }

  #part(name: PartName, launch: () => Promise<Run> | Run): KeptAlive {
    return new KeptAlive({
      name,
      launch,
      onChange: ({ what, pid, reason }) => {
        if (what === 'ended') this.#output.log('warn', `${name} ended and is started again`, { pid, reason });
        else this.#output.log('debug', `${name} ${what}`, { pid });
        this.#state.part(name, what === 'ended' ? null : pid);
        if (what === 'ready' && name === 'runner') watchImages(this.#layout.runnerSocket, (image) => this.#onImage(image));
        if (what === 'ready' && name === 'control') {
          this.#apiAnswers = true;
          this.#tell();
        }
      },
    });
  }

  async #startPostgres(): Promise<Run> {
    const server = await startPostgres({
      layout: this.#layout,
      serviceUser: this.#config.serviceUser,
      log: (line) => this.#output.childLine('postgres', line),
    });
    this.#databaseUrl = server.url;
    return {
      pid: server.pid,
      ready: Promise.resolve(),
      exited: server.exited.then(() => 'ended'),
      stop: () => server.stop(),
      kill: () => void process.kill(server.pid, 'SIGQUIT'),
    };
  }

  /** In a mount namespace of its own: whatever it mounts ends with it, however it ends. */
  #startRunner(): Run {
    return this.#startNode('runner', ['unshare', '--mount', '--propagation', 'slave', '--']);
  }

  #startControl(): Run {
    return this.#startNode('control', []);
  }

  #startNode(name: 'runner' | 'control', wrapper: readonly string[]): Run {
    const [file = '', ...args] = [...wrapper, process.execPath, ...NODE_FLAGS, programPath(name)];
    return startNodeChild({
      command: { file, args },
      config: { ...this.#config, databaseUrl: this.#databaseUrl },
      log: (line) => this.#output.childLine(name, line),
      onMessage: (message) => this.#onMessage(message),
      stopMs: STOP_MS,
    });
  }

  #onMessage(message: ChildMessage): void {
    if (message.type === 'usable') {
      this.#usable = true;
      return this.#tell();
    }
    if (message.type !== 'admin-key') return;
    this.#output.say(['', `  API key (shown this once): ${message.key}`, ''], { adminApiKey: message.key });
  }

  #onImage(image: RunnerImage): void {
    if (image.name !== this.#config.image.default || this.#stopping) return;
    this.#image = image;
    if (image.state === 'failed') this.#output.log('error', `image ${image.name} could not be made`, { reason: image.reason });
    this.#output.progress(image.state === 'preparing' ? (image.progress ?? { fraction: 0, text: `preparing image ${image.name}` }) : null);
    this.#tell();
  }

  /** Brings the state file and the operator up to date when API or image moved on. */
  #tell(): void {
    if (!this.#apiAnswers || this.#image === null || this.#stopping) return;
    if (this.#image.state === 'preparing') return this.#state.enter('preparing', this.#image.progress);
    if (this.#image.state === 'failed') return this.#state.enter('failed', { fraction: 0, text: this.#image.reason ?? 'the default image could not be made' });
    if (!this.#usable || this.#state.phase === 'ready') return;
    this.#state.enter('ready');
    const { publicUrl, previewProtocol, previewDomain, adminApiKey, dataDir } = this.#config;
    this.#output.say(
      [
        '',
        `  Paddock is ready:  ${publicUrl}/api`,
        `  API key:           ${adminApiKey === null ? 'the one shown at the first start' : 'the one of PADDOCK_ADMIN_API_KEY'}`,
        `  Previews:          ${previewProtocol}://{port}-{sandboxId}.${previewDomain}`,
        `  Data:              ${dataDir}`,
        '',
      ],
      { apiUrl: `${publicUrl}/api` },
    );
  }
}

/** The bundle next to this one; the supervisor itself runs from dist/cli.mjs. */
function programPath(name: 'runner' | 'control'): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const path = join(here, `${name}.mjs`);
  if (!existsSync(path)) throw new Error(`${path} is missing. Run \`npm run build\`.`);
  return path;
}
