/** Tars of finished layers outside any instance, for machines that set up many of them, such as CI. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** What makes a tar carry all that a root file system has. */
const FAITHFUL = ['--numeric-owner', '--xattrs', '--xattrs-include=*'];

export class LayerCache {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  has(key: string): boolean {
    return existsSync(this.#file(key));
  }

  async unpack(key: string, root: string): Promise<void> {
    await runTool('tar', ['--extract', '--preserve-permissions', ...FAITHFUL, '--file', this.#file(key), '--directory', root]);
  }

  async store(key: string, root: string): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const unfinished = `${this.#file(key)}.${process.pid}`;
    try {
      await runTool('tar', ['--create', ...FAITHFUL, '--file', unfinished, '--directory', root, '.']);
      await rename(unfinished, this.#file(key));
    } finally {
      await rm(unfinished, { force: true });
    }
  }

  #file(key: string): string {
    return join(this.#dir, `${key}.tar`);
  }
}

/** Runs a program that must not outlive the runner. @returns its standard output */
export function runTool(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors = (errors + chunk).slice(-2_000)));
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(output) : reject(new Error(`${command} failed (${code}): ${errors.trim()}`))));
  });
}
