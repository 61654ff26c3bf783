import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const IMAGE = 'paddock-bench';

/**
 * Debian's dockerd with the same root file system, as the other half of each ratio. Everything it makes (its data, bridge and
 * firewall rules) is taken away again by `stop`.
 */
export class Docker {
  readonly #dir: string;
  readonly #host: string;
  #idle: Promise<string> | null = null;
  readonly #daemon: ChildProcess;
  readonly #hadBridge: boolean;
  readonly #rules: string | null;

  private constructor(dir: string, host: string, daemon: ChildProcess, hadBridge: boolean, rules: string | null) {
    this.#dir = dir;
    this.#host = host;
    this.#daemon = daemon;
    this.#hadBridge = hadBridge;
    this.#rules = rules;
  }

  static available(): boolean {
    return ['/usr/sbin/dockerd', '/usr/bin/dockerd'].some((path) => existsSync(path));
  }

  /** @param rootTar writes a tar of the image's root to the given stream's stdin */
  static async start(rootTar: () => ChildProcess): Promise<Docker> {
    const dir = mkdtempSync(join(tmpdir(), 'paddock-bench-docker-'));
    const host = `unix://${dir}/docker.sock`;
    const saved = spawnSync('iptables-save', { encoding: 'utf8' });
    const hadBridge = existsSync('/sys/class/net/docker0');
    const daemon = spawn('dockerd', [
      '--data-root', `${dir}/data`, '--exec-root', `${dir}/exec`, '--pidfile', `${dir}/pid`, '--host', host,
    ], { stdio: 'ignore' });
    const docker = new Docker(dir, host, daemon, hadBridge, saved.status === 0 ? saved.stdout : null);
    try {
      for (let i = 0; docker.run(['info']).status !== 0; i += 1) {
        if (i === 100) throw new Error('dockerd did not come up');
        await sleep(100);
      }
      const tar = rootTar();
      const load = spawn('docker', ['-H', host, 'import', '-', IMAGE], { stdio: [tar.stdout, 'ignore', 'inherit'] });
      const status = await new Promise<number | null>((resolve) => load.on('close', resolve));
      if (status !== 0) throw new Error('docker import failed');
      return docker;
    } catch (error) {
      await docker.stop();
      throw error;
    }
  }

  run(args: readonly string[]): { status: number | null; stdout: string } {
    return spawnSync('docker', ['-H', this.#host, ...args], { encoding: 'utf8' });
  }

  /** `docker …` as a user would start it, awaited without blocking this process. */
  async exec(args: readonly string[]): Promise<string> {
    const child = spawn('docker', ['-H', this.#host, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
    if (status !== 0) throw new Error(`docker ${args.join(' ')} ended with ${status}`);
    return out;
  }

  runPython(): Promise<string> {
    return this.exec(['run', '--rm', IMAGE, 'python3', '-c', 'print(1)']);
  }

  /** Id of a container that only waits; whoever needs it first starts it. */
  idle(): Promise<string> {
    this.#idle ??= this.exec(['run', '-d', IMAGE, 'sleep', 'infinity']).then((id) => id.trim());
    return this.#idle;
  }

  async stop(): Promise<void> {
    const ids = this.run(['ps', '-aq']).stdout.split('\n').filter(Boolean);
    if (ids.length > 0) this.run(['rm', '-f', ...ids]);
    const ended = new Promise((resolve) => this.#daemon.on('exit', resolve));
    if (this.#daemon.exitCode === null && this.#daemon.kill('SIGTERM')) await ended;
    for (const mount of readFileSync('/proc/mounts', 'utf8').split('\n').map((line) => line.split(' ')[1] ?? '').reverse()) {
      if (mount.startsWith(this.#dir)) spawnSync('umount', ['-l', mount]);
    }
    if (!this.#hadBridge) spawnSync('ip', ['link', 'del', 'docker0']);
    if (this.#rules !== null) {
      // iptables-restore of an empty dump leaves foreign tables alone; docker's own chains go with the policy it set.
      for (const args of [['-P', 'FORWARD', 'ACCEPT'], ['-F'], ['-X'], ['-t', 'nat', '-F'], ['-t', 'nat', '-X']]) spawnSync('iptables', args);
      spawnSync('iptables-restore', [], { input: this.#rules });
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
