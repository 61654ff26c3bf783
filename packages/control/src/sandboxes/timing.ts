/** Where the time of one create went: name of each step and when it ended, in ms after the request arrived. */
export class Timing {
  readonly #steps: [name: string, atMs: number][] = [];
  readonly #startedAt: number;

  /** @param elapsedMs since the request arrived */
  constructor(elapsedMs: number) {
    this.#startedAt = performance.now() - elapsedMs;
  }

  /** @param at reading of `performance.now()` */
  mark(step: string, at = performance.now()): void {
    this.#steps.push([step, at - this.#startedAt]);
  }

  /** Value of a Server-Timing header. */
  get header(): string {
    return this.#steps.map(([name, atMs]) => `${name.replace(/[^\w.-]+/g, '-')};dur=${atMs.toFixed(2)}`).join(', ');
  }
}

/** What the runner said of the start of a sandbox; readings of `performance.now()` of this process. */
export interface StartTrace {
  readonly sentAt: number;
  readonly answeredAt: number;
  /** Ms after the runner got the request. */
  readonly steps: ReadonlyArray<readonly [step: string, atMs: number]>;
}

/** Adds the runner's steps, on the assumption that it got the request when it was sent. */
export function addStart(timing: Timing, trace: StartTrace): void {
  timing.mark('sent to the runner', trace.sentAt);
  for (const [step, atMs] of trace.steps) timing.mark(`runner ${step}`, trace.sentAt + atMs);
  timing.mark('runner answered', trace.answeredAt);
}
