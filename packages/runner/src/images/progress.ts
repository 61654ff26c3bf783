export interface Progress {
  /** 0..1, never falling. */
  readonly fraction: number;
  /** What is going on, as a sentence without a full stop. */
  readonly text: string;
}

interface Phase {
  readonly line: RegExp;
  readonly text: (match: RegExpExecArray) => string;
  /** Share of one such line in the whole, in steps. */
  readonly steps: number;
}

/**
 * Lines of `mmdebstrap --verbose` (its own start with `I:`, the others are apt's and dpkg's). A package is downloaded,
 * unpacked and set up once each; a download is cheap, setting up compiles Python and is the longest.
 */
const PHASES: readonly Phase[] = [
  { line: /^I: running apt-get update/, text: () => 'Reading package lists', steps: 10 },
  { line: /^Get:\d+ \S+ \S+ \S+ ([^[\s]+) /, text: ([, name]) => `Downloading ${name}`, steps: 1 },
  { line: /^I: extracting archives/, text: () => 'Unpacking the base system', steps: 40 },
  { line: /^Unpacking (\S+?)(?::\S+)? /, text: ([, name]) => `Unpacking ${name}`, steps: 1 },
  { line: /^Setting up (\S+?)(?::\S+)? /, text: ([, name]) => `Setting up ${name}`, steps: 2 },
  { line: /^I: cleaning package lists/, text: () => 'Cleaning up', steps: 10 },
];

/** Steps besides those of packages. */
const FIXED_STEPS = 60;
const STEPS_PER_PACKAGE = 4;

/** Packages of the slim image with all they depend on, of trixie. Another number only bends the scale. */
const EXPECTED_PACKAGES = 155;
const TOTAL_STEPS = FIXED_STEPS + EXPECTED_PACKAGES * STEPS_PER_PACKAGE;

/** The end is only reported by who checked that it worked. */
const CEILING = 0.98;

/** Turns the output of a build into progress. */
export class ProgressReader {
  #steps = 0;

  /** @returns null when the line says nothing new */
  read(line: string): Progress | null {
    for (const phase of PHASES) {
      const match = phase.line.exec(line);
      if (match === null) continue;
      this.#steps += phase.steps;
      return { fraction: Math.min(CEILING, this.#steps / TOTAL_STEPS), text: phase.text(match) };
    }
    return null;
  }
}
