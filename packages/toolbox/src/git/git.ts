import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, statSync } from 'node:fs';
import net from 'node:net';
import type { Readable } from 'node:stream';
import { badRequest, errnoOf, fail, fromErrno, ToolboxError } from '../errors.ts';
import { givePipeBack, stdinWith, takePipe } from '../process/pipes.ts';
import { CREDENTIAL_FD, credentialConfig, type Credentials } from './credentials.ts';
import { gitEnv } from './env.ts';
import { failureOf } from './failures.ts';

/** Longest output that is gathered. Lists of branches, remotes and the like stay far below; longer ones are streamed. */
const MAX_GATHERED_BYTES = 16 * 1024 * 1024;

/** How much of stderr is kept, its end: the reason stands there, before it may stand megabytes of progress of a remote. */
const MAX_MESSAGE_BYTES = 64 * 1024;

/** Time for git to remove its locks and a half-made clone after SIGTERM. */
const TERMINATE_MS = 2_000;

/** How long after git's end a process it left behind (a hook's) may hold its output open. */
const LINGER_MS = 500;

/** Settings of every run. Repositories on volumes belong to other ids; the caller named the path, so ownership says nothing. */
const ALWAYS = ['--no-pager', '-c', 'safe.directory=*', '-c', 'core.quotePath=false', '-c', 'advice.detachedHead=false', '-c', 'color.ui=false'] as const;

export interface GitOptions {
  readonly stdin?: string;
  /** Added to the environment, for what git takes only from there. */
  readonly env?: Readonly<Record<string, string>>;
  /** `name=value` settings of this run alone. */
  readonly config?: readonly string[];
}

export interface GitResult {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** git in one directory on behalf of one request: it is stopped when the client goes away. */
export class Git {
  readonly cwd: string;
  readonly #gone: AbortSignal;
  readonly #credentials: Credentials | null;

  constructor(cwd: string, gone: AbortSignal, credentials: Credentials | null = null) {
    this.cwd = cwd;
    this.#gone = gone;
    this.#credentials = credentials;
  }

  /** The same with credentials, which git is given for `credentials.origin` only. */
  withCredentials(credentials: Credentials | null): Git {
    return new Git(this.cwd, this.#gone, credentials);
  }

  /** The same in another directory. */
  at(cwd: string): Git {
    return new Git(cwd, this.#gone, this.#credentials);
  }

  /** @returns stdout; throws what the failure means to the client */
  async must(args: readonly string[], options: GitOptions = {}): Promise<string> {
    const result = await this.run(args, options);
    if (result.exitCode !== 0) throw this.failure(result);
    return result.stdout;
  }

  async run(args: readonly string[], options: GitOptions = {}): Promise<GitResult> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const ended = await this.stream(args, options, async (stdout) => {
      for await (const chunk of stdout as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > MAX_GATHERED_BYTES) throw badRequest(`git printed more than ${MAX_GATHERED_BYTES / 1024 / 1024} MiB and was stopped`);
        chunks.push(chunk);
      }
    });
    return { ...ended, stdout: Buffer.concat(chunks).toString('utf8') };
  }

  failure(result: GitResult): ToolboxError {
    return failureOf(result, this.#credentials);
  }

  /** Runs git while `take` reads its output at its own pace. What `take` throws stops git and is thrown here. */
  async stream(args: readonly string[], options: GitOptions, take: (stdout: Readable) => Promise<void>): Promise<Omit<GitResult, 'stdout'>> {
    const config = [...(this.#credentials ? credentialConfig(this.#credentials) : []), ...(options.config ?? [])];
    const child = await this.#start([...ALWAYS, ...config.flatMap((setting) => ['-c', setting]), ...args], options);
    const stop = (): void => {
      terminate(child.process);
      child.stdout.destroy();
    };
    this.#gone.addEventListener('abort', stop);
    if (this.#gone.aborted) stop();
    try {
      const reading = take(child.stdout).catch((error: unknown) => {
        // A reader that is cut off because git ended or was stopped has nothing to add to that.
        if (errnoOf(error) === 'ERR_STREAM_PREMATURE_CLOSE') return;
        stop();
        throw error;
      });
      const [ended] = await Promise.all([child.ended, reading]);
      if (this.#gone.aborted) throw clientGone();
      return ended;
    } finally {
      this.#gone.removeEventListener('abort', stop);
    }
  }

  async #start(args: readonly string[], options: GitOptions): Promise<Started> {
    if (this.#gone.aborted) throw clientGone();
    // Hooks write to /dev/stderr, which cannot be opened on the sockets that Node gives as pipes.
    const pipe = await takePipe();
    const descriptors: number[] = [];
    try {
      const stdin = options.stdin === undefined ? 'ignore' : stdinWith(Buffer.from(options.stdin));
      if (typeof stdin === 'number') descriptors.push(stdin);
      const stdio: (number | 'ignore' | 'pipe')[] = [stdin, 'pipe', pipe?.writeFd ?? 'pipe'];
      if (this.#credentials) {
        stdio[CREDENTIAL_FD] = stdinWith(Buffer.from(this.#credentials.answer));
        descriptors.push(stdio[CREDENTIAL_FD] as number);
      }
      const process = spawn('git', args, { cwd: this.cwd, env: { ...gitEnv(this.cwd), ...options.env }, detached: true, stdio });
      const stderr = pipe ? new net.Socket({ fd: pipe.readFd, readable: true, writable: false }) : (process.stderr as Readable);
      return { process, stdout: process.stdout!, ended: endOf(process, stderr, this.cwd, (whole) => pipe && givePipeBack(pipe, whole)) };
    } catch (error) {
      if (pipe) {
        closeSync(pipe.readFd);
        givePipeBack(pipe, false);
      }
      throw notStarted(error, this.cwd);
    } finally {
      for (const fd of descriptors) closeSync(fd);
      if (pipe) closeSync(pipe.writeFd);
    }
  }
}

interface Started {
  readonly process: ChildProcess;
  readonly stdout: Readable;
  readonly ended: Promise<Omit<GitResult, 'stdout'>>;
}

/** @param released the reader of stderr is closed; `whole` when it saw the end */
function endOf(child: ChildProcess, stderr: Readable, cwd: string, released: (whole: boolean) => void): Promise<Omit<GitResult, 'stdout'>> {
  return new Promise((resolve, reject) => {
    let message = Buffer.alloc(0);
    let whole = false;
    stderr.on('data', (chunk: Buffer) => (message = Buffer.concat([message, chunk]).subarray(-MAX_MESSAGE_BYTES)));
    stderr.on('error', () => stderr.destroy());
    stderr.once('end', () => {
      whole = true;
      stderr.destroy();
    });
    const closed = new Promise<void>((done) => stderr.once('close', done)).then(() => released(whole));
    child.once('error', (error) => {
      stderr.destroy();
      reject(notStarted(error, cwd));
    });
    child.once('exit', (exitCode, signal) => {
      // Only stderr can be held on to by others: hooks have it for both of their outputs.
      const linger = setTimeout(() => stderr.destroy(), LINGER_MS);
      void closed.then(() => {
        clearTimeout(linger);
        resolve({ exitCode, signal, stderr: message.toString('utf8') });
      });
    });
  });
}

/** Asks the whole group to end, then makes it. */
function terminate(child: ChildProcess): void {
  if (child.pid === undefined) return;
  signalGroup(child.pid, 'SIGTERM');
  const force = setTimeout(() => signalGroup(child.pid!, 'SIGKILL'), TERMINATE_MS);
  // What git leaves in its group when it ends, such as a helper that waits for a remote, has nobody to report to.
  child.once('exit', () => {
    clearTimeout(force);
    signalGroup(child.pid!, 'SIGKILL');
  });
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group is empty already.
  }
}

function notStarted(error: unknown, cwd: string): ToolboxError {
  const errno = errnoOf(error);
  if (errno === 'ERR_INVALID_ARG_VALUE') return badRequest('a value contains a NUL character');
  if (errno === 'E2BIG') return badRequest('a value is too long');
  if (errno !== 'ENOENT') return fromErrno(error);
  // The kernel says ENOENT for a missing directory and for a missing program alike.
  if (!statSync(cwd, { throwIfNoEntry: false })?.isDirectory()) return fail('GIT_REPO_NOT_FOUND', `not found: no such directory: ${cwd}`);
  return fail('UNPROCESSABLE_ENTITY', 'git is not installed in this sandbox: install it (for example `apt-get install git`) or use an image that has it');
}

/** Recognised at the edge as a connection that needs no reply. */
const clientGone = (): Error => Object.assign(new Error('the client went away'), { code: 'ECONNRESET' });
