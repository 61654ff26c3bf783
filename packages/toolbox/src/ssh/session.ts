import { existsSync } from 'node:fs';
import type net from 'node:net';
import os from 'node:os';
import { currentEnv, type Env } from '../environment/environment.ts';
import { workDir } from '../environment/places.ts';
import { userShell } from '../process/shell.ts';
import { accepted } from './env.ts';
import { AgentSocket } from './forwards.ts';
import type { Connection, ServerChannel, Session } from './library.ts';
import { PipedProgram } from './piped-program.ts';
import { serveSftp } from './sftp/server.ts';
import { TerminalProgram } from './terminal-program.ts';

/** A program on a channel. */
export interface Program {
  signal(number: number): void;
  resize(columns: number, rows: number): void;
  /** The client is gone: the program is told to end, and made to. */
  hangUp(): void;
}

export interface ProgramOptions {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Env;
  readonly cwd: string;
}

interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Terminals of clients that name no size, and the largest the kernel is asked for. */
const DEFAULT_SIZE: TerminalSize = { columns: 80, rows: 24 };
const MAX_SIZE = 65_535;

/** One `session` channel: variables, terminal and agent first, then a shell, a command or sftp. */
export class SshSession {
  readonly #over: () => void;
  readonly #sent: Record<string, string> = {};
  #terminal: { readonly name: string; readonly size: TerminalSize } | null = null;
  #agent: AgentSocket | null = null;
  #program: Program | null = null;
  #endSftp: (() => void) | null = null;

  /** @param over called once, when the channel is closed */
  constructor(session: Session, connection: Connection, over: () => void, join: (channel: ServerChannel, socket: net.Socket) => void) {
    this.#over = over;
    // Each reply function is absent when the client wants no reply.
    session.on('env', (accept, reject, { key, val }) => {
      if (accepted(key, val, this.#sent)) {
        this.#sent[key] = val;
        accept?.();
      } else reject?.();
    });
    session.on('pty', (accept, _reject, info) => {
      const { term } = info as { readonly term?: string };
      this.#terminal = { name: term || 'xterm-256color', size: sizeOf(info.cols, info.rows) };
      accept?.();
    });
    session.on('window-change', (accept, _reject, { cols, rows }) => {
      const size = sizeOf(cols, rows);
      this.#program?.resize(size.columns, size.rows);
      accept?.();
    });
    session.on('signal', (accept, reject, { name }) => {
      const number = os.constants.signals[`SIG${name.replace(/^SIG/, '')}` as NodeJS.Signals];
      if (number === undefined) return void reject?.();
      this.#program?.signal(number);
      accept?.();
    });
    session.on('auth-agent', (accept, reject) => {
      try {
        this.#agent ??= new AgentSocket(connection, join);
        accept?.();
      } catch {
        reject?.();
      }
    });
    session.on('shell', (accept) => this.#start(accept(), null));
    session.on('exec', (accept, _reject, { command }) => this.#start(accept(), command));
    session.on('subsystem', (accept, reject, { name }) => {
      if (name === 'sftp') this.#endSftp = serveSftp(accept());
      else reject();
    });
    // The client has sent all its input; its signals still count, which `ssh2` would refuse from here on.
    session.on('eof' as never, (() => ((session as unknown as { _ending: boolean })._ending = false)) as never);
    session.on('close', () => this.end());
  }

  end(): void {
    this.#program?.hangUp();
    this.#endSftp?.();
    this.#agent?.close();
    this.#program = this.#agent = this.#endSftp = null;
    this.#over();
  }

  /** @param command null: a login shell */
  #start(channel: ServerChannel, command: string | null): void {
    const env = this.#env();
    const shell = userShell(env);
    const cwd = existsSync(workDir) ? workDir : '/';
    if (this.#terminal === null) {
      const args = command === null ? ['-l'] : ['-c', command];
      this.#program = new PipedProgram({ file: shell, args, env, cwd }, channel);
    } else {
      const args = command === null ? ['-i', '-l'] : ['-c', command];
      this.#program = new TerminalProgram({ file: shell, args, env, cwd, ...this.#terminal.size }, channel);
    }
  }

  #env(): Env {
    // Addresses mean nothing behind the gateway, but that there are some tells shells and tools that they run under SSH.
    const ssh = { SSH_CLIENT: '127.0.0.1 0 22', SSH_CONNECTION: '127.0.0.1 0 127.0.0.1 22' };
    const agent: Env = this.#agent === null ? {} : { SSH_AUTH_SOCK: this.#agent.path };
    const terminal: Env = this.#terminal === null ? {} : { TERM: this.#terminal.name };
    return { ...currentEnv(), ...ssh, ...this.#sent, ...agent, ...terminal };
  }
}

function sizeOf(columns: number, rows: number): TerminalSize {
  return { columns: Math.min(columns || DEFAULT_SIZE.columns, MAX_SIZE), rows: Math.min(rows || DEFAULT_SIZE.rows, MAX_SIZE) };
}
