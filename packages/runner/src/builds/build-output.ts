/** Reads buildah's output: what users see of it, how far it is, and why it failed. */

/** Lines of output that explain a failed step. */
const TAIL_LINES = 6;
const TAIL_CHARACTERS = 1_500;
/** Of an instruction in a reason: its beginning names it. */
const INSTRUCTION_CHARACTERS = 120;

const STEP = /^(?:\[(\d+)\/(\d+)\] )?STEP (\d+)\/(\d+): (.*)$/;
/** Ids of intermediate images, and what the result is called inside. */
const INTERNAL = /^(?:--> (?:Using cache )?[0-9a-f]{12,64}|(?:\[\d+\/\d+\] )?COMMIT localhost\/result:latest|Successfully tagged localhost\/(?:result:latest|base:[0-9a-f]+)|[0-9a-f]{64})$/;
/** What buildah complains of besides, cleaning up for one: no reason of a failure. */
const LOGGED = /^time="[^"]*" level=[a-z]+ msg="/;
const ERROR = /^Error: (.*)$/s;
/** Colours and the like, which only terminals understand: escape sequences, then all other control characters. */
const FOR_TERMINALS = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])|[\x00-\x08\x0b-\x1f\x7f]/g;
const EXIT_STATUS = /while running runtime: exit status (\d+)$/;

interface Step {
  readonly number: number;
  readonly of: number;
  readonly stage: string;
  /** As buildah writes it. */
  readonly written: string;
  readonly text: string;
}

export class BuildOutput {
  readonly #names: ReadonlyMap<string, string>;
  readonly #tail: string[] = [];
  #rest = '';
  #step: Step | null = null;
  /** The latest line that looks like buildah's own verdict: it is one when nothing follows. */
  #verdict: string | null = null;
  #error: string | null = null;

  /** @param names of images inside → what the Dockerfile calls them */
  constructor(names: ReadonlyMap<string, string>) {
    this.#names = names;
  }

  /** 0..1 of the steps, and which one it is. */
  get progress(): { readonly fraction: number; readonly text: string } | null {
    const step = this.#step;
    if (step === null) return null;
    const [stage = 1, stages = 1] = step.stage === '' ? [] : step.stage.split('/').map(Number);
    return { fraction: Math.min(1, (stage - 1 + (step.number - 1) / step.of) / stages), text: `${title(step)}: ${shortened(step.text)}` };
  }

  /** @returns what of it goes into the image's log */
  read(chunk: string): string {
    const lines = `${this.#rest}${chunk}`.split('\n');
    this.#rest = lines.pop()!;
    // A line without an end, such as a progress bar's, is not held back for ever.
    if (this.#rest.length > 4_096) lines.push(this.#rest.slice(0, 4_096)), (this.#rest = this.#rest.slice(4_096));
    return lines.flatMap((line) => this.#line(line)).map((line) => `${line}\n`).join('');
  }

  /** What was still without an end. */
  end(): string {
    const text = this.#rest === '' ? '' : this.read('\n');
    this.#error = this.#verdict === null ? null : withoutStep(ERROR.exec(this.#verdict)![1]!, this.#step);
    return text;
  }

  /** Why it failed, as a sentence: the step and the last lines it printed. */
  reason(exitCode: number): string {
    const error = this.#error === null ? null : this.#renamed(this.#error);
    const status = error === null ? null : EXIT_STATUS.exec(error)?.[1] ?? null;
    const said = readable(status !== null || error === null ? this.#tail.join('\n') : error).trim().slice(-TAIL_CHARACTERS);
    if (this.#step === null) return `The build failed: ${said === '' ? `the builder ended with status ${exitCode}` : said}`;
    const code = status === null ? '' : ` with exit code ${status}`;
    return `${title(this.#step)} \`${shortened(this.#step.text)}\` failed${code}${said === '' ? '' : `: ${said}`}`;
  }

  /** @returns what it adds to the log */
  #line(line: string): string[] {
    const text = line.replace(/\r$/, '');
    // buildah's own account of a command's failure; the exit code says it.
    if (INTERNAL.test(text) || /^: exit status \d+$/.test(text)) return [];
    const held = this.#verdict === null ? [] : [this.#said(this.#verdict)];
    this.#verdict = ERROR.test(text) ? text : null;
    if (this.#verdict !== null) return held;
    const step = STEP.exec(text);
    if (step === null) return [...held, this.#said(text)];
    const [, stage, stages, number, of, instruction] = step;
    const renamed = this.#renamed(instruction!);
    this.#step = { number: Number(number), of: Number(of), stage: stage === undefined ? '' : `${stage}/${stages}`, written: instruction!, text: renamed };
    this.#tail.length = 0;
    return [...held, text.slice(0, text.length - instruction!.length) + renamed];
  }

  #said(text: string): string {
    if (LOGGED.test(text)) return text;
    this.#tail.push(text);
    if (this.#tail.length > TAIL_LINES) this.#tail.shift();
    return text;
  }

  #renamed(text: string): string {
    let renamed = text;
    for (const [inside, name] of this.#names) renamed = renamed.replaceAll(inside, name);
    return renamed;
  }
}

/** `… building at STEP "<instruction>": <message>`, in which nothing marks the end of the instruction. */
function withoutStep(error: string, step: Step | null): string {
  const [before, after] = error.split(/building at STEP "(.*)/s);
  if (after === undefined) return error;
  const known = `${step?.written}": `;
  return `${before}${after.startsWith(known) ? after.slice(known.length) : after.slice(after.lastIndexOf('": ') + 3)}`;
}

function title({ number, of, stage }: Step): string {
  return `Step ${number}/${of}${stage === '' ? '' : ` of stage ${stage}`}`;
}

/** As a terminal would show it in the end: of a line that was written over several times, such as a progress bar's, the last state. */
function readable(text: string): string {
  return text.split('\n').map((line) => (line.split('\r').findLast((state) => state !== '') ?? '').replaceAll(FOR_TERMINALS, '')).join('\n');
}

function shortened(text: string): string {
  return text.length > INSTRUCTION_CHARACTERS ? `${text.slice(0, INSTRUCTION_CHARACTERS)}…` : text;
}
