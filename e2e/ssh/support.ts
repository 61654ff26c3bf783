import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { client, SDKS, type Sandbox } from '../sdk/support.ts';

/** OpenSSH's own programs against a sandbox, with the access that the SDK creates. */
export interface Ssh {
  readonly sandbox: Sandbox;
  readonly token: string;
  readonly port: string;
  /** `<token>@localhost`. */
  readonly target: string;
  /** Directory of this test on the machine. */
  readonly scratch: string;
  /** Waits for the end. @param args options, then after the destination the command */
  run(options: readonly string[], command?: string, input?: string | Buffer): Promise<Ended>;
  /** One that stays. */
  start(options: readonly string[], command?: string): Running;
  close(): Promise<void>;
}

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  readonly bytes: Buffer;
}

export interface Running {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Ended>;
  out(): string;
  err(): string;
}

export const OPTIONS = [
  '-F', '/dev/null', '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'GlobalKnownHostsFile=/dev/null', '-o', 'BatchMode=yes',
];

export async function openSsh(): Promise<Ssh> {
  const sandbox = await client(SDKS[0]![1]).create();
  const { token, sshCommand } = await sandbox.createSshAccess();
  const [, , port, target] = sshCommand.split(' ') as [string, string, string, string];
  const scratch = mkdtempSync(join(tmpdir(), 'paddock-e2e-ssh-'));
  const running = new Set<ChildProcessWithoutNullStreams>();

  function start(options: readonly string[], command?: string): Running {
    const run = program('ssh', [...OPTIONS, '-p', port, ...options, target, ...(command === undefined ? [] : [command])]);
    running.add(run.child);
    void run.ended.then(() => running.delete(run.child));
    return run;
  }
  return {
    sandbox, token, port, target, scratch, start,
    run(options, command, input = '') {
      const { child, ended } = start(options, command);
      child.stdin.end(input);
      return ended;
    },
    async close() {
      for (const child of running) child.kill('SIGKILL');
      rmSync(scratch, { recursive: true, force: true });
      await sandbox.delete();
    },
  };
}

/** A program of this machine. */
export function program(file: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Running {
  const child = spawn(file, args, { env });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  child.stdin.on('error', () => undefined); // it may end without reading
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, bytes: Buffer.concat(out), out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() }));
  });
  return { child, ended, out: () => Buffer.concat(out).toString(), err: () => Buffer.concat(err).toString() };
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Waits for a condition, at most ten seconds. */
export async function until<T>(condition: () => T | Promise<T>, what: string): Promise<NonNullable<T>> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`Not within 10 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
