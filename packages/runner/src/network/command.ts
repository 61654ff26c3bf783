import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { inNetns } from './sockets.ts';

/** Runs system tools: nft and iptables for what is loaded seldom, nsenter for the host's mounts. */

export interface CommandOptions {
  readonly input?: string;
  /** The program starts in this network namespace; default: the caller's. */
  readonly netnsFd?: number;
  /** Passed on as descriptor 3. */
  readonly fd3?: number;
}

/** A tool that cannot answer in this time is stuck; the slowest (nft on a host with thousands of rules) takes one second. */
const TIMEOUT_MS = 30_000;

/** @returns standard output; rejects with standard error when the exit code is not 0 */
export function run(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const start = () => spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe', options.fd3 ?? 'ignore'], timeout: TIMEOUT_MS }) as
      ChildProcessByStdio<Writable, Readable, Readable>;
    const child = options.netnsFd === undefined ? start() : inNetns(options.netnsFd, start);
    let out = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => { out += chunk; });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => { errors += chunk; });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve(out);
      else reject(new Error(`${command} ended with ${signal ?? code}: ${errors.trim().slice(0, 2000)}`));
    });
    child.stdin.on('error', () => undefined); // the exit code tells why it stopped reading
    child.stdin.end(options.input ?? '');
  });
}

export function loadRules(rules: string, netnsFd?: number): Promise<string> {
  return run('nft', ['-f', '-'], { input: rules, netnsFd });
}
