import os from 'node:os';
import { errnoOf } from '../errors.ts';
import { Terminal, type Exit, type TerminalOptions } from '../pty/terminal.ts';
import { exitOf, foregroundOf, hangUpGroups, signalGroup } from './ending.ts';
import type { ServerChannel } from './library.ts';
import { Outlet } from './outlet.ts';
import type { Program } from './session.ts';

/** A program on a terminal. The end of the client's input means nothing to a terminal: the program waits for the next key. */
export class TerminalProgram implements Program {
  readonly #channel: ServerChannel;
  readonly #outlet: Outlet;
  #terminal: Terminal | null = null;
  #over = false;

  constructor(options: TerminalOptions, channel: ServerChannel) {
    this.#channel = channel;
    this.#outlet = new Outlet(channel, () => this.#terminal?.resume());
    channel.on('error', () => undefined);
    try {
      this.#terminal = new Terminal(options, {
        output: (chunk) => {
          if (!this.#outlet.write(chunk)) this.#terminal?.pause();
        },
        exited: () => undefined,
        closed: (exit) => this.#closed(exit),
        drained: () => channel.resume(),
      });
    } catch (error) {
      this.#outlet.write(Buffer.from(`${options.file}: cannot be started (${errnoOf(error) ?? String(error)})\r\n`));
      this.#closed({ code: 126, signal: null });
      return;
    }
    channel.on('data', (chunk: Buffer) => {
      if (this.#terminal?.write(chunk) === false) channel.pause();
    });
  }

  /** Goes where Ctrl-C would go: an interactive shell itself ignores most signals. */
  signal(number: number): void {
    const leader = this.#terminal?.pid;
    if (this.#over || leader === undefined) return;
    signalGroup(foregroundOf(leader) ?? leader, number);
  }

  resize(columns: number, rows: number): void {
    if (!this.#over) this.#terminal?.resize(columns, rows);
  }

  hangUp(): void {
    if (this.#over) return;
    this.#over = true;
    this.#outlet.close();
    const leader = this.#terminal?.pid;
    const foreground = leader === undefined ? null : foregroundOf(leader);
    // The kernel tells the session's leader and its foreground; a shell that is told passes it on to its jobs.
    this.#terminal?.hangUp();
    if (leader !== undefined) hangUpGroups(foreground === null || foreground === leader ? [leader] : [leader, foreground]);
  }

  #closed({ code, signal }: Exit): void {
    if (this.#over) return;
    this.#over = true;
    const name = signal === null ? null : (Object.entries(os.constants.signals).find(([, number]) => number === signal)?.[0] as NodeJS.Signals);
    exitOf(this.#channel, code, name);
    this.#outlet.end();
  }
}
