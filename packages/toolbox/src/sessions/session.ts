import { randomUUID } from 'node:crypto';
import type { Env } from '../environment/environment.ts';
import { fail, type ToolboxError } from '../errors.ts';
import { Command } from './command.ts';
import { InputPipe } from './input-pipe.ts';
import { killTree } from './process-tree.ts';
import { Shell } from './shell.ts';
import { noPipes } from './status-pipe.ts';

/** Commands remembered after their end; the oldest are forgotten with their logs. An agent that works for days makes so many. */
const KEPT_COMMANDS = 1000;

/** Exit code of a command that was accepted and never began: what a shell shows for SIGHUP, the loss of its terminal. */
const NEVER_RUN = 129;

/** How a session and its commands look to clients. */
export interface SessionView {
  readonly sessionId: string;
  readonly commands: readonly CommandView[];
}

export interface CommandView {
  readonly id: string;
  readonly command: string;
  readonly exitCode?: number;
}

export const viewOf = ({ id, text, exitCode }: Pick<Command, 'id' | 'text' | 'exitCode'>): CommandView => ({ id, command: text, ...(exitCode === null ? {} : { exitCode }) });

export const noCommand = (sessionId: string, commandId: string): ToolboxError => fail('PROCESS_NOT_FOUND', `not found: session '${sessionId}' has no command '${commandId}'`);

/** A shell and its commands, which run one after the other. */
export class Session {
  readonly id: string;
  readonly #shell: Shell;
  readonly #commands = new Map<string, Command>();
  readonly #queue: Command[] = [];
  #running: Command | null = null;
  #deleting: Promise<void> | null = null;

  private constructor(id: string, shell: Shell) {
    this.id = id;
    this.#shell = shell;
    void shell.ended.then((exitCode) => this.#shellEnded(exitCode));
  }

  static async start(id: string, cwd: string, env: Env): Promise<Session> {
    return new Session(id, await Shell.start(id, cwd, env));
  }

  view(): SessionView {
    return { sessionId: this.id, commands: Array.from(this.#commands.values(), viewOf) };
  }

  command(commandId: string): Command {
    const command = this.#commands.get(commandId);
    if (command === undefined) throw noCommand(this.id, commandId);
    return command;
  }

  /** Takes a command; it starts when those before it have ended. @param takesInput its standard input stays open for `write` */
  async execute(text: string, takesInput: boolean, echoes: boolean): Promise<Command> {
    this.#assertAlive();
    const input = takesInput ? await InputPipe.open() : null;
    if (takesInput && input === null) throw noPipes();
    const command = new Command(randomUUID(), text, input, echoes);
    if (this.#isOver()) {
      input?.close();
      this.#assertAlive();
    }
    this.#commands.set(command.id, command);
    this.#queue.push(command);
    this.#next();
    return command;
  }

  async write(command: Command, data: string): Promise<void> {
    if (command.exitCode !== null && !this.#isOver()) throw fail('COMMAND_ALREADY_COMPLETED', `gone: command '${command.id}' has already completed with exit code ${command.exitCode}`);
    this.#assertAlive();
    if (command.input === null) throw fail('BAD_REQUEST', 'bad request: the standard input of this command is at its end; start it with runAsync to send input');
    if (await command.write(data)) return;
    this.#assertAlive();
    throw fail('COMMAND_ALREADY_COMPLETED', `gone: command '${command.id}' completed before it took the input`);
  }

  /** Ends every process and forgets the commands. A second call waits for the first. */
  delete(): Promise<void> {
    return (this.#deleting ??= this.#delete());
  }

  async #delete(): Promise<void> {
    this.#dropQueue('the session was deleted before this command began');
    await killTree(this.#shell.pid, this.#shell.startTicks);
    for (const command of this.#commands.values()) {
      command.cut();
      command.log.retire();
    }
    this.#commands.clear();
  }

  #isOver(): boolean {
    return this.#shell.exitCode !== null || this.#deleting !== null;
  }

  #assertAlive(): void {
    if (this.#deleting !== null) throw fail('SESSION_ENDED', `gone: session '${this.id}' has ended: it is being deleted`);
    const { exitCode } = this.#shell;
    if (exitCode !== null) throw fail('SESSION_ENDED', `gone: session '${this.id}' has ended: its shell exited with code ${exitCode}; delete it and create a new one`);
  }

  #next(): void {
    if (this.#running !== null) return;
    const command = this.#queue.shift();
    if (command === undefined) return;
    this.#running = command;
    const done = (): void => {
      this.#running = null;
      this.#forgetOldest();
      if (this.#isOver()) this.#dropQueue();
      else this.#next();
    };
    command.run(this.#shell).catch((error: Error) => command.abandon(126, `the command could not be started: ${error.message}`)).then(done, done);
  }

  #shellEnded(exitCode: number): void {
    if (this.#running === null) this.#dropQueue(`the session's shell exited with code ${exitCode} before this command began`);
  }

  #dropQueue(reason = "the session's shell ended before this command began"): void {
    for (const command of this.#queue.splice(0)) command.abandon(NEVER_RUN, reason);
  }

  #forgetOldest(): void {
    if (this.#commands.size <= KEPT_COMMANDS) return;
    for (const command of this.#commands.values()) {
      if (this.#commands.size <= KEPT_COMMANDS) return;
      if (!command.log.closed || command.exitCode === null) continue;
      this.#commands.delete(command.id);
      command.log.retire();
    }
  }
}
