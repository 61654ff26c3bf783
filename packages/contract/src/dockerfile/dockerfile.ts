/**
 * As much of a Dockerfile as must be understood before it is built: which images it stands on, and what it asks of a builder
 * that this one has not. The building itself is buildah's.
 */
import { TooLong, expand } from './variables.ts';

export interface Instruction {
  /** 1-based line it starts on. */
  readonly line: number;
  /** In capitals. */
  readonly name: string;
  /** `--name=value`, as written. */
  readonly flags: readonly string[];
  /** The rest, continued lines joined; without the bodies of heredocs. */
  readonly text: string;
}

export interface Dockerfile {
  readonly instructions: readonly Instruction[];
  /** Value of `# syntax=`, null without one. */
  readonly syntax: string | null;
  /** The first line that is longer than builders take, 1-based. */
  readonly overlong: number | null;
}

export interface Base {
  /** With its variables replaced. */
  readonly reference: string;
  /** As the Dockerfile has it: what buildah goes by where it names a base. */
  readonly written: string;
  readonly line: number;
}

const DIRECTIVE = /^#\s*([a-z]+)\s*=(.*)$/i;
const HEREDOC = /(?:^|[^<])<<(-?)(["']?)([A-Za-z_][A-Za-z0-9_.]*)\2/g;
/** Instructions that take heredocs. */
const WITH_BODIES = new Set(['RUN', 'COPY', 'ADD']);

/** Docker's own limit. buildah has none, but takes hours for a line of a MiB. */
export const MAX_LINE_BYTES = 65_535;

export function parseDockerfile(source: string): Dockerfile {
  const lines = source.replace(/^\uFEFF/, '').split(/\r?\n/);
  const directives = new Map<string, string>();
  let at = 0;
  for (let match; at < lines.length && (match = DIRECTIVE.exec(lines[at]!)) !== null; at++) directives.set(match[1]!.toLowerCase(), match[2]!.trim());
  const escape = directives.get('escape') === '`' ? '`' : '\\';
  const instructions: Instruction[] = [];
  while (at < lines.length) {
    let line = 0;
    let text = '';
    for (; at < lines.length; at++) {
      const current = lines[at]!;
      // Comments and blank lines are left out wherever they stand.
      if (/^\s*(?:#|$)/.test(current)) continue;
      if (line === 0) line = at + 1;
      const continued = current.trimEnd().endsWith(escape);
      text += continued ? current.trimEnd().slice(0, -1) : current;
      if (!continued) break;
    }
    at++;
    const instruction = split(text.trim(), line);
    if (instruction === null) continue;
    instructions.push(instruction);
    if (!WITH_BODIES.has(instruction.name)) continue;
    for (const [, dash, , word] of instruction.text.matchAll(HEREDOC)) {
      while (at < lines.length && (dash === '-' ? lines[at]!.replace(/^\t+/, '') : lines[at]) !== word) at++;
      at++;
    }
  }
  const overlong = lines.findIndex((line) => Buffer.byteLength(line) > MAX_LINE_BYTES) + 1;
  return { instructions, syntax: directives.get('syntax') ?? null, overlong: overlong === 0 ? null : overlong };
}

function split(text: string, line: number): Instruction | null {
  if (text === '') return null;
  const [, name, rest] = /^(\S+)\s*(.*)$/s.exec(text)!;
  const flags: string[] = [];
  const option = /(--[a-zA-Z]\S*)\s*/y;
  let end = 0;
  for (let match; (match = option.exec(rest!)) !== null; end = option.lastIndex) flags.push(match[1]!);
  return { line, name: name!.toUpperCase(), flags, text: rest!.slice(end) };
}

/** Value of a flag, null when it is absent; empty when it is there without one. */
export function flag(instruction: Instruction, name: string): string | null {
  for (const written of instruction.flags) {
    if (written === `--${name}`) return '';
    if (written.startsWith(`--${name}=`)) return written.slice(name.length + 3).replace(/^(["'])(.*)\1$/, '$2');
  }
  return null;
}

/** The base that a FROM names, as it is written. */
export function namedBy({ text }: Instruction): string {
  return text.split(/\s+/, 1)[0]!.replace(/^(["'])(.*)\1$/, '$2');
}

interface Stage {
  readonly base: Base;
  /** Lower case. */
  readonly name: string | null;
  readonly platform: string | null;
  /** What COPY --from and RUN --mount name. */
  readonly sources: Base[];
  /** From its FROM on. */
  readonly instructions: Instruction[];
}

export interface Stages {
  /** Images from elsewhere that the last stage needs, each once in each way it is written. */
  readonly bases: readonly Base[];
  /** Platforms that FROM names. */
  readonly platforms: readonly string[];
  /** The instructions of the last stage, and before them those of the stages that it goes on from. */
  readonly lineage: readonly Instruction[];
}

/** Far above what people write. Stages are looked up by walking back, one calls for the next, so both time and depth need a bound. */
export const MAX_INSTRUCTIONS = 2_000;

/**
 * @param platform `os/architecture` that is built for
 * @throws TooLong when there are more than MAX_INSTRUCTIONS, or variables make too long a text
 */
export function stagesOf({ instructions }: Dockerfile, platform: string): Stages {
  if (instructions.length > MAX_INSTRUCTIONS) throw new TooLong();
  const [os = '', architecture = ''] = platform.split('/');
  const args = new Map<string, string>();
  for (const side of ['BUILD', 'TARGET']) {
    args.set(`${side}PLATFORM`, platform);
    args.set(`${side}OS`, os);
    args.set(`${side}ARCH`, architecture);
    args.set(`${side}VARIANT`, '');
  }
  const stages: Stage[] = [];
  for (const instruction of instructions) {
    const stage = stages.at(-1);
    const { line } = instruction;
    if (instruction.name === 'ARG' && stage === undefined) {
      for (const [name, value] of assignments(instruction.text)) args.set(name, expand(value, args));
    } else if (instruction.name === 'FROM') {
      const [, as, name] = instruction.text.split(/\s+/);
      const written = namedBy(instruction);
      const wanted = flag(instruction, 'platform');
      stages.push({
        base: { reference: expand(written, args), written, line },
        name: as?.toLowerCase() === 'as' && name !== undefined ? name.toLowerCase() : null,
        platform: wanted === null ? null : expand(wanted, args),
        sources: [],
        instructions: [],
      });
    } else if (stage !== undefined && (instruction.name === 'COPY' || instruction.name === 'ADD')) {
      const from = flag(instruction, 'from');
      if (from) stage.sources.push({ reference: expand(from, args), written: from, line });
    } else if (stage !== undefined && instruction.name === 'RUN') {
      for (const written of instruction.flags) {
        const from = /^--mount=(?:.*,)?from=([^,]+)/.exec(written)?.[1];
        if (from !== undefined) stage.sources.push({ reference: expand(from, args), written: from, line });
      }
    }
    stages.at(-1)?.instructions.push(instruction);
  }
  return { bases: needed(stages), platforms: stages.flatMap((stage) => stage.platform ?? []), lineage: lineageOf(stages) };
}

/** `NAME=value NAME2 …`; one without a value is left out. Looking behind keeps a long word from being read from each of its letters. */
function assignments(text: string): Array<[string, string]> {
  const found: Array<[string, string]> = [];
  for (const [, name, double, single, bare] of text.matchAll(/(?<![A-Za-z0-9_])([A-Za-z_][A-Za-z0-9_]*)=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S*))/g)) {
    found.push([name!, double ?? single ?? bare ?? '']);
  }
  return found;
}

/** Walks from the last stage to all that it reaches: what no stage needs is not built. */
function needed(stages: readonly Stage[]): Base[] {
  const bases = new Map<string, Base>();
  const seen = new Set<number>();
  const visit = (index: number): void => {
    const stage = stages[index];
    if (stage === undefined || seen.has(index)) return;
    seen.add(index);
    for (const [source, byNumber] of [[stage.base, false] as const, ...stage.sources.map((base) => [base, true] as const)]) {
      const other = earlierStage(stages, index, source.reference, byNumber);
      if (other !== null) visit(other);
      else if (source.reference !== 'scratch' && !bases.has(source.written)) bases.set(source.written, source);
    }
  };
  visit(stages.length - 1);
  return [...bases.values()];
}

function lineageOf(stages: readonly Stage[]): Instruction[] {
  const found: Instruction[] = [];
  for (let index: number | null = stages.length - 1; index !== null && index >= 0;) {
    const stage: Stage = stages[index]!;
    found.unshift(...stage.instructions);
    index = earlierStage(stages, index, stage.base.reference, false);
  }
  return found;
}

function earlierStage(stages: readonly Stage[], before: number, reference: string, byNumber: boolean): number | null {
  if (byNumber && /^\d+$/.test(reference)) return Number(reference);
  const found = stages.slice(0, before).findLastIndex(({ name }) => name === reference.toLowerCase());
  return found < 0 ? null : found;
}
