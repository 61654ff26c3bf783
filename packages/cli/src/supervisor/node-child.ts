import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { CHILD_MESSAGES_FD, type ChildMessage, type PaddockConfig, SUPERVISED_ENV } from '@paddock/contract';
import type { Command } from '../host/private-mounts.ts';
import { Refused, type Run } from './kept-alive.ts';

export interface NodeChildOptions {
  readonly command: Command;
  readonly config: PaddockConfig;
  readonly log: (line: string) => void;
  readonly onMessage: (message: ChildMessage) => void;
  /** Time it has to stop after SIGTERM. */
  readonly stopMs: number;
}

/** Secrets reach children in the config line only: an environment is inherited by everything they start. */
const SECRETS = ['PADDOCK_ADMIN_API_KEY', 'PADDOCK_HEALTH_API_KEY', 'DATABASE_URL', 'S3_ACCESS_KEY', 'S3_SECRET_KEY', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'];

/** Starts the control plane or the runner: settings on stdin, log lines on stdout and stderr, messages on descriptor 3. */
export function startNodeChild({ command, config, log, onMessage, stopMs }: NodeChildOptions): Run {
  const env: NodeJS.ProcessEnv = { ...process.env, [SUPERVISED_ENV]: '1' };
  for (const secret of SECRETS) delete env[secret];
  // A process group of its own: Ctrl-C in a terminal reaches the supervisor alone, which stops the parts in order.
  const child = spawn(command.file, command.args, { stdio: ['pipe', 'pipe', 'pipe', 'pipe'], env, detached: true });
  const lastWords: string[] = [];
  let refusal: string | null = null;
  let serves = () => {};
  const served = new Promise<void>((resolve) => (serves = resolve));

  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream as Readable }).on('line', (line) => {
      lastWords.push(line);
      if (lastWords.length > 20) lastWords.shift();
      log(line);
    });
  }
  createInterface({ input: child.stdio[CHILD_MESSAGES_FD] as Readable }).on('line', (line) => {
    const message = JSON.parse(line) as ChildMessage;
    if (message.type === 'ready') serves();
    if (message.type === 'refused') refusal = message.reason;
    onMessage(message);
  });

  // 'close' comes after the last line of output, 'exit' may come before it.
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal === null ? `exit status ${code}` : `killed by ${signal}`));
  });
  const endedEarly = exited.then((reason) => {
    if (refusal !== null) throw new Refused(refusal);
    throw new Error(`${reason}\n${lastWords.join('\n')}`.trim());
  });
  endedEarly.catch(() => {}); // a run that served is not interested

  child.stdin?.on('error', () => {}); // it died: `exited` says so
  child.stdin?.write(`${JSON.stringify(config)}\n`);
  return {
    pid: child.pid ?? 0,
    ready: Promise.race([served, endedEarly]),
    exited,
    async stop() {
      child.kill('SIGTERM');
      child.stdin?.end();
      const hard = setTimeout(() => child.kill('SIGKILL'), stopMs);
      await exited;
      clearTimeout(hard);
    },
    kill: () => void child.kill('SIGKILL'),
  };
}
