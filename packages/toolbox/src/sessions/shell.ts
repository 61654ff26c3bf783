import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import type { Env } from '../environment/environment.ts';
import { fail } from '../errors.ts';
import { givePipeBack, takePipe } from '../process/pipes.ts';
import { shellExitCode } from '../process/run.ts';
import { userShell } from '../process/shell.ts';
import { statOf } from './process-tree.ts';
import { type Note, scratchPath } from './scratch.ts';
import { noPipes, offStatus, onStatus, statusPipe } from './status-pipe.ts';

/** A shell that does not report within this is no shell. */
const START_MS = 10_000;

/** Where a command's standard streams lead: names the shell opens. */
export interface Streams {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * One long-living shell, which gets two lines for each command on its standard input:
 *
 *     { . TEXT; } <IN >|OUT 2>|ERR
 *     printf 'SHELL COMMAND STATUS' >|STATUS
 *
 * Two, because some errors (`exit 1 2`) make a shell drop the rest of the line they are on. The text is sourced, so directory, variables, functions and options stay. Streams are opened for the command alone. No loop and no
 * function stands around it, which `break` or `return` could leave. When this process dies the shell's input ends, and so does it.
 */
export class Shell {
  static #count = 0;

  readonly number = ++Shell.#count;
  readonly #child: ChildProcess;
  readonly #control: number;
  readonly #status: string;
  readonly #source: string;
  readonly #report: string;
  readonly #waiting = new Map<number, (exitCode: number) => void>();
  #commands = 0;
  #exitCode: number | null = null;
  readonly startTicks: string;
  /** Settles with the shell's own exit code: it has ended. */
  readonly ended: Promise<number>;

  private constructor(file: string, child: ChildProcess, control: number, status: string) {
    this.#child = child;
    this.#control = control;
    this.#status = status;
    const name = basename(file);
    // `command` keeps a syntax error in the text from ending the smaller shells; the builtins are meant even where the user has functions of their names.
    this.#source = name === 'zsh' || name === 'bash' ? '.' : 'command .';
    this.#report = name === 'zsh' || name === 'bash' ? 'builtin printf' : 'command printf';
    this.startTicks = statOf(child.pid!)?.startTicks ?? '';
    onStatus(this.number, (command, exitCode) => {
      const waiting = this.#waiting.get(command);
      this.#waiting.delete(command);
      waiting?.(exitCode);
    });
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        // A report that it made right before its end is read first.
        setImmediate(() => setImmediate(() => {
          this.#exitCode = shellExitCode(code, signal);
          offStatus(this.number);
          closeSync(control);
          this.forget();
          for (const waiting of this.#waiting.values()) waiting(this.#exitCode);
          this.#waiting.clear();
          resolve(this.#exitCode);
        }));
      });
    });
  }

  /** @param sessionId noted for a toolbox that comes after this one */
  static async start(sessionId: string, cwd: string, env: Env): Promise<Shell> {
    const status = await statusPipe();
    const pipe = await takePipe();
    if (pipe === null) throw noPipes();
    const file = userShell(env);
    let control: number | null = null;
    try {
      control = openSync(pipe.path, constants.O_WRONLY | constants.O_NONBLOCK);
      const stdin = openSync(pipe.path, constants.O_RDONLY);
      let child: ChildProcess;
      try {
        child = spawn(file, [], { cwd, env, detached: true, stdio: [stdin, 'ignore', 'ignore'] });
      } finally {
        closeSync(stdin);
      }
      await new Promise((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', reject);
      });
      const shell = new Shell(file, child, control, status);
      control = null;
      const note: Note = { sessionId, pid: shell.pid, startTicks: shell.startTicks };
      writeFileSync(shell.#notePath, JSON.stringify(note));
      await shell.#greet(file);
      return shell;
    } catch (error) {
      throw fail('INTERNAL_SERVER_ERROR', `internal server error: the shell ${file} did not start: ${(error as Error).message}`);
    } finally {
      if (control !== null) closeSync(control);
      closeSync(pipe.readFd);
      closeSync(pipe.writeFd);
      givePipeBack(pipe, false);
    }
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** null while it lives. */
  get exitCode(): number | null {
    return this.#exitCode;
  }

  /** Runs one text. @returns its exit code, or the shell's own when the text ended the shell */
  async run(text: string, streams: Streams): Promise<number> {
    const path = scratchPath(`${this.number}.sh`);
    writeFileSync(path, `${text}\n`, { mode: 0o600 });
    const source = `{ ${this.#source} '${path}'; } <${streams.stdin} >|${streams.stdout} 2>|${streams.stderr}`;
    const exitCode = await this.#line(source);
    rmSync(path, { force: true });
    return exitCode;
  }

  /** Removes what was noted about it. */
  forget(): void {
    rmSync(this.#notePath, { force: true });
  }

  get #notePath(): string {
    return scratchPath(`${this.number}.json`);
  }

  /** The way back works: a session whose shell cannot report would wait for ever. */
  async #greet(file: string): Promise<void> {
    let timer: NodeJS.Timeout | null = null;
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), START_MS)));
    const first = await Promise.race([this.#line(':'), late]);
    clearTimeout(timer!);
    if (this.#exitCode !== null) throw new Error(`${file} ended with exit code ${this.#exitCode}`);
    if (first !== 'late') return;
    this.#child.kill('SIGKILL');
    throw new Error(`${file} does not report`);
  }

  /** @returns the status that the shell reports behind the command, or its own when it has ended */
  #line(command: string): Promise<number> {
    if (this.#exitCode !== null) return Promise.resolve(this.#exitCode);
    const number = ++this.#commands;
    return new Promise((resolve) => {
      this.#waiting.set(number, resolve);
      try {
        // At most some hundred bytes, with nothing else on its way: a pipe takes that at once and whole.
        writeSync(this.#control, `${command}\n${this.#report} '${this.number} ${number} %s\\n' "$?" >|${this.#status}\n`);
      } catch {
        // Nobody reads: the shell has ended, which settles the wait.
      }
    });
  }
}
