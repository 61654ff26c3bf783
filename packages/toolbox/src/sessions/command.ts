import { takePipe } from '../process/pipes.ts';
import { InputPipe } from './input-pipe.ts';
import { Log } from './log.ts';
import { CommandPipe } from './output-pipe.ts';
import { STDERR, STDOUT } from './records.ts';
import type { Shell } from './shell.ts';
import { noPipes } from './status-pipe.ts';

/**
 * How long a finished command waits for background processes that still hold its output, such as the reader of a process
 * substitution. What they print later still goes to the log, but the command is complete without it.
 */
const LINGER_MS = 250;

/** One command of a session and what became of it. */
export class Command {
  readonly id: string;
  readonly text: string;
  readonly log: Log;
  /** null for a command whose standard input is at its end from the start. */
  readonly input: InputPipe | null;
  readonly #echoes: boolean;
  #exitCode: number | null = null;
  #pipes: readonly CommandPipe[] = [];
  #closing = false;
  #ended!: () => void;
  /** Settles when the exit code is known and the output printed until then is in the log. */
  readonly ended: Promise<void> = new Promise((resolve) => (this.#ended = resolve));

  constructor(id: string, text: string, input: InputPipe | null, echoes: boolean) {
    this.id = id;
    this.text = text;
    this.input = input;
    this.#echoes = echoes;
    this.log = new Log(id);
  }

  get exitCode(): number | null {
    return this.#exitCode;
  }

  /** Runs it in the shell. @returns when the shell can take the next one: the output may still be on its way */
  async run(shell: Shell): Promise<void> {
    const stdout = await takePipe();
    const stderr = stdout && (await takePipe());
    if (!stdout || !stderr) throw noPipes();
    const ended = (): void => this.#pipeEnded();
    const out = new CommandPipe(stdout, this.log, STDOUT, ended);
    const err = new CommandPipe(stderr, this.log, STDERR, ended);
    this.#pipes = [out, err];
    if (this.#closing) this.cut();
    let exitCode: number;
    try {
      exitCode = await shell.run(this.text, { stdin: this.input?.name ?? '/dev/null', stdout: out.name, stderr: err.name });
    } finally {
      out.release();
      err.release();
    }
    this.input?.close();
    void this.#complete(exitCode);
  }

  /** Ends it without a run. @param reason goes to its standard error */
  abandon(exitCode: number, reason: string): void {
    if (this.#exitCode !== null) return;
    this.input?.close();
    this.log.append(STDERR, Buffer.alloc(0), Buffer.from(`${reason}\n`));
    this.log.close();
    this.#end(exitCode);
  }

  /** Text for its standard input. @returns false when it ended before it was taken */
  async write(data: string): Promise<boolean> {
    const line = data.endsWith('\n') ? data : `${data}\n`;
    if (this.#echoes) this.log.append(STDOUT, Buffer.alloc(0), Buffer.from(line));
    return await this.input!.write(line);
  }

  /** Stops reading its output, whoever still holds the pipes. */
  cut(): void {
    this.#closing = true;
    for (const pipe of this.#pipes) pipe.close();
  }

  async #complete(exitCode: number): Promise<void> {
    const pipes = this.#pipes.map((pipe) => pipe.output);
    while (pipes.some((pipe) => !pipe.done)) {
      const left = pipes.some((pipe) => pipe.paused);
      const over = await this.#oneMoreEnd(LINGER_MS);
      // A pipe holds one read's worth of what was printed before; it has been read unless reading had to wait for the log.
      if (over && !left && !pipes.some((pipe) => pipe.paused)) break;
    }
    this.#end(exitCode);
  }

  #pipeEnd: (() => void) | null = null;

  /** @returns true when no pipe ended within the time */
  #oneMoreEnd(withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(true), withinMs);
      this.#pipeEnd = () => {
        clearTimeout(timer);
        resolve(false);
      };
    });
  }

  #pipeEnded(): void {
    if (this.#pipes.every((pipe) => pipe.output.done)) {
      this.log.close();
      this.#pipes = [];
    }
    this.#pipeEnd?.();
    this.#pipeEnd = null;
  }

  #end(exitCode: number): void {
    this.#exitCode = exitCode;
    this.#ended();
  }
}
