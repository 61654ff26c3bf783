/** What Dockerfiles can ask of Docker's own builder and not of buildah 1.39, each with what to do about it. */
import { MAX_INSTRUCTIONS, MAX_LINE_BYTES, TooLong, flag, stagesOf, type Dockerfile, type Instruction, type Stages } from '@paddock/contract';

const INSTRUCTIONS = new Set([
  'ADD', 'ARG', 'CMD', 'COPY', 'ENTRYPOINT', 'ENV', 'EXPOSE', 'FROM', 'HEALTHCHECK', 'LABEL', 'MAINTAINER', 'ONBUILD', 'RUN', 'SHELL', 'STOPSIGNAL',
  'USER', 'VOLUME', 'WORKDIR',
]);

/** `${name#…}`, `${name%…}`, `${name/…}` and `${name:3}`: patterns that the builder, not the shell, would have to work out. */
const PATTERN = /\$\{[A-Za-z_][A-Za-z0-9_]*(?:[#%/]|:[^-+?])/;
/** In these the builder replaces variables. */
const EXPANDED = new Set(['ADD', 'ARG', 'COPY', 'ENV', 'EXPOSE', 'FROM', 'LABEL', 'ONBUILD', 'STOPSIGNAL', 'USER', 'VOLUME', 'WORKDIR']);

/** Far above what people write; the runner reads it on behalf of all. */
export const MAX_DOCKERFILE_BYTES = 1024 ** 2;
export const MAX_BASES = 100;

/** One sentence a problem; none: buildah can try. @param platform `os/architecture` of this machine */
export function problemsOf(dockerfile: Dockerfile, platform: string): string[] {
  if (dockerfile.instructions.length > MAX_INSTRUCTIONS) return [`it has more than ${MAX_INSTRUCTIONS} instructions`];
  const problems: string[] = [];
  const { syntax, instructions, overlong } = dockerfile;
  if (overlong !== null) return [`line ${overlong} is longer than ${MAX_LINE_BYTES} bytes`];
  if (syntax !== null && !/^(?:docker\.io\/)?docker\/dockerfile(?:[:@]|$)/.test(syntax)) {
    problems.push(`"# syntax=${syntax}" asks for a BuildKit frontend of its own; only the Dockerfile language itself can be built here`);
  }
  if (!instructions.some(({ name }) => name === 'FROM')) problems.push('it has no FROM');
  let stage = -1;
  for (const instruction of instructions) {
    if (instruction.name === 'FROM') stage += 1;
    for (const problem of [...problemsIn(instruction), ...unknownStages(instruction, stage)]) problems.push(`line ${instruction.line}: ${problem}`);
  }
  let stages: Stages;
  try {
    stages = stagesOf(dockerfile, platform);
  } catch (error) {
    if (!(error instanceof TooLong)) throw error;
    return [...problems, 'its variables make a text that is too long'];
  }
  if (stages.bases.length > MAX_BASES) problems.push(`it needs more than ${MAX_BASES} other images`);
  for (const wanted of stages.platforms) {
    if (wanted !== '' && wanted !== platform && wanted !== platform.split('/')[1]) problems.push(`FROM --platform=${wanted}: this machine builds ${platform} alone`);
  }
  return problems;
}

function problemsIn(instruction: Instruction): string[] {
  const { name, text } = instruction;
  const has = (option: string): boolean => flag(instruction, option) !== null;
  const problems: string[] = [];
  if (!INSTRUCTIONS.has(name)) problems.push(`there is no instruction ${name.slice(0, 40)}`);
  if (name === 'COPY' && has('parents')) problems.push('COPY --parents is BuildKit\'s alone; write one COPY for each directory');
  if (name === 'ADD' && has('keep-git-dir')) problems.push('ADD --keep-git-dir is BuildKit\'s alone; clone with RUN git clone');
  if (name === 'ADD' && has('unpack')) problems.push('ADD --unpack is BuildKit\'s alone; unpack with RUN tar');
  if (name === 'RUN') {
    for (const written of instruction.flags) {
      const option = written.slice(2).split('=', 1)[0]!;
      if (option !== 'mount' && option !== 'network') problems.push(`RUN --${option} is BuildKit's alone; leave it out`);
      const kind = unpassed(written);
      if (kind !== null && /(?:^|,)required(?:=true)?(?:,|$)/.test(written)) problems.push(`RUN --mount=type=${kind},required needs ${UNPASSED[kind]}`);
    }
  }
  if (EXPANDED.has(name) && PATTERN.test(text)) problems.push(`${name} with a pattern in a variable (\${name#…}, \${name/…}) is BuildKit's alone; work it out in a RUN`);
  return problems;
}

/** A stage by a number that none before it has: buildah crashes on it. */
function unknownStages(instruction: Instruction, stage: number): string[] {
  const from = [flag(instruction, 'from') ?? '', ...instruction.flags.map((written) => /^--mount=(?:.*,)?from=([^,]+)/.exec(written)?.[1] ?? '')];
  return from.filter((name) => /^\d+$/.test(name) && Number(name) >= stage).map((name) => `there is no stage ${name} before this one`);
}

/** What an author should know although it can be built. */
export function notesOf({ instructions }: Dockerfile): string[] {
  return instructions.flatMap((instruction) => {
    const kinds = instruction.name === 'RUN' ? instruction.flags.flatMap((written) => unpassed(written) ?? []) : [];
    return kinds.map((kind) => `line ${instruction.line}: RUN --mount=type=${kind} is empty: ${UNPASSED[kind]}`);
  });
}

const UNPASSED = {
  ssh: 'builds have no SSH agent; put what it would fetch into the build context',
  secret: 'no secrets are passed to builds; put what it would fetch into the build context',
} as const;

function unpassed(written: string): keyof typeof UNPASSED | null {
  return (/^--mount=(?:.*,)?type=(ssh|secret)(?:,|$)/.exec(written)?.[1] as keyof typeof UNPASSED | undefined) ?? null;
}

/**
 * Writes what Docker reads and buildah does not, though it means something buildah has: `--link` says how a copy may be stored, not
 * what is copied; a base in quotes; stages whose name is written now in capitals, now in small letters.
 * @returns the text to build
 */
export function asBuildahReads(source: string, { instructions }: Dockerfile): string {
  const lines = source.split('\n');
  const stages = new Set<string>();
  const inSmall = (name: string): string => (stages.has(name.toLowerCase()) ? name.toLowerCase() : name);
  for (const { name, line, text } of instructions) {
    const edit = (pattern: RegExp, replaced: (before: string, rest: string) => string): void => {
      lines[line - 1] = lines[line - 1]!.replace(pattern, (_, before: string, rest: string) => before + replaced(before, rest));
    };
    if (name === 'COPY' || name === 'ADD') edit(/^(\s*\w+(?:\s+--\S+)*?)(\s+--link(?:=(?:true|false))?)(?=\s)/, () => '');
    if (name === 'COPY' || name === 'ADD') edit(/^(\s*\w+(?:\s+--\S+)*?\s+--from=)([^\s"'$]+)/, (_, from) => inSmall(from));
    if (name === 'RUN') edit(/^(\s*\w+(?:\s+--\S+)*?\s+--mount=(?:\S*,)?from=)([^\s,"'$]+)/, (_, from) => inSmall(from));
    if (name !== 'FROM') continue;
    edit(/^(\s*\w+\s+(?:--\S+\s+)*)("[^\s"']+"|'[^\s"']+'|[^\s"']+)/, (_, base) => inSmall(base.replace(/^["']|["']$/g, '')));
    const [, as, stage] = text.split(/\s+/);
    if (as?.toLowerCase() !== 'as' || stage === undefined) continue;
    stages.add(stage.toLowerCase());
    edit(/^(\s*\w+\s+(?:--\S+\s+)*\S+\s+as\s+)(\S+)/i, (_, written) => written.toLowerCase());
  }
  return lines.join('\n');
}
