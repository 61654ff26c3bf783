/** Where the time of one operation went: steps in order of completion, in ms since its request arrived. */
export class Trace {
  readonly #since = performance.now();
  readonly steps: Array<readonly [step: string, atMs: number]> = [];

  readonly mark = (step: string): void => {
    this.steps.push([step, Math.round((performance.now() - this.#since) * 100) / 100]);
  };
}
