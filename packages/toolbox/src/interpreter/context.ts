import { currentEnv, type Env } from '../environment/environment.ts';
import { RestartNote } from '../sessions/note.ts';
import type { RunClient } from './client.ts';
import { type RunOutcome, Worker } from './worker.ts';

/** Wire: as many runs wait for a context; one more is refused. */
const MAX_WAITING = 128;

/** Wire: a source that ignores its interrupt for this long is killed with its interpreter. */
const KILL_AFTER_MS = 2_000;

/** A source that waits for another program without listening is interrupted together with it, this long after the first attempt. */
const INTERRUPT_ALL_AFTER_MS = 1_000;

export interface Job {
  readonly code: string;
  readonly envs: Env;
  /** Counts from the start of the run, not of the wait; null: no limit. */
  readonly timeoutMs: number | null;
  readonly client: RunClient;
}

/** Wire: these keys and no others. */
export interface ContextInfo {
  readonly id: string;
  readonly cwd: string;
  readonly createdAt: string;
  readonly active: boolean;
  readonly language: string;
}

/** One Python name space: runs wait for each other, in the order they came. Its interpreter starts with the first of them. */
export class Context {
  readonly id: string;
  readonly #cwd: string;
  readonly #createdAt = new Date().toISOString();
  readonly #waiting: Job[] = [];
  #starting: Promise<Worker | null> | null = null;
  #worker: Worker | null = null;
  #busy: Job | null = null;
  #deleted = false;
  readonly #note = new RestartNote();
  /** What the next run hears first, as standard error. */
  #news: { readonly text: string; readonly told: () => void } | null = null;

  constructor(id: string, cwd: string) {
    this.id = id;
    this.#cwd = cwd;
  }

  /** Inactive after its interpreter has died, until the next run starts another. */
  get info(): ContextInfo {
    return { id: this.id, cwd: this.#cwd, createdAt: this.#createdAt, active: this.#worker === null || this.#worker.alive, language: 'python' };
  }

  /** It has been announced: a later toolbox must know of it. */
  announce(): void {
    this.#note.write({ context: this.info }, null);
  }

  /** Tells the next run. @param text one line @param told called when it has been told */
  tellNext(text: string, told: () => void): void {
    this.#news = { text, told };
  }

  submit(job: Job): void {
    if (this.#waiting.length >= MAX_WAITING) return void job.client.close(1008, 'execution queue is full');
    this.#waiting.push(job);
    if (this.#busy === null) void this.#runAll();
  }

  /** The client of a run takes output again, or stops to. */
  balance(client: RunClient): void {
    if (this.#busy?.client !== client) return;
    if (client.behind) this.#worker?.pause();
    else this.#worker?.resume();
  }

  /** Starts the interpreter ahead of the first run. */
  async warmUp(): Promise<void> {
    await this.#ready();
  }

  /** Ends the interpreter and every run. */
  delete(): void {
    this.#deleted = true;
    for (const { client } of this.#waiting.splice(0)) client.close(1008, `context not found: ${this.id}`);
    this.#worker?.kill();
    this.#note.forget();
  }

  async #runAll(): Promise<void> {
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) {
      this.#busy = job;
      try {
        await this.#run(job);
      } catch (error) {
        job.client.close(1011, `the interpreter failed: ${(error as Error).message}`);
      }
      this.#busy = null;
    }
  }

  async #run({ code, envs, timeoutMs, client }: Job): Promise<void> {
    const worker = await this.#ready();
    if (worker === null) return client.close(1011, 'the interpreter cannot be started: no Python was found');
    if (this.#news !== null) {
      client.output('stderr', Buffer.from(this.#news.text));
      this.#news.told();
      this.#news = null;
    }
    const limit = new Limit(worker, timeoutMs);
    const outcome = await worker.run(code, envs, (stream, chunk) => client.output(stream, chunk));
    limit.lift();
    worker.resume();
    client.endOutput();
    tell(client, outcome, limit.reached);
  }

  async #ready(): Promise<Worker | null> {
    if (this.#worker?.alive) return this.#worker;
    this.#starting ??= Worker.start(this.#cwd, currentEnv()).finally(() => (this.#starting = null));
    const worker = await this.#starting;
    this.#worker = worker;
    if (this.#deleted) worker?.kill();
    else if (worker !== null) this.#note.write({ context: this.info }, worker.pid);
    return worker;
  }
}

/** Wire: what the client hears at the end, and how the socket is closed. */
function tell(client: RunClient, outcome: RunOutcome, timedOut: boolean): void {
  if (timedOut) {
    // Killed, it could not say that it was interrupted.
    if (outcome.kind === 'over') client.control('interrupted');
    return client.close(4008);
  }
  if (outcome.kind === 'died') {
    // Clients that take 1001 for a success learn by this frame that it was none.
    client.error({ name: 'InterpreterDied', value: `the interpreter ended (${outcome.how})`, traceback: '' });
    return client.close(1001, `the interpreter ended (${outcome.how})`);
  }
  if (outcome.error !== null) client.error(outcome.error);
  client.control('completed');
  client.close(1000);
}

/** The time limit of a run: an interrupt, then one for everything it has started, then the end. */
class Limit {
  readonly #worker: Worker;
  #timer: NodeJS.Timeout | null = null;
  reached = false;

  constructor(worker: Worker, timeoutMs: number | null) {
    this.#worker = worker;
    // A longer wait than a timer can hold (24 days) is no limit.
    if (timeoutMs !== null && timeoutMs < 2 ** 31) this.#timer = setTimeout(() => this.#reach(), timeoutMs);
  }

  lift(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #reach(): void {
    this.reached = true;
    // What it prints from here on is not worth the wait for a slow client.
    this.#worker.resume();
    this.#worker.interrupt(false);
    this.#timer = setTimeout(() => {
      this.#worker.interrupt(true);
      this.#timer = setTimeout(() => this.#worker.kill(), KILL_AFTER_MS - INTERRUPT_ALL_AFTER_MS);
    }, INTERRUPT_ALL_AFTER_MS);
  }
}
