/** What Dockerfiles can ask of Docker's own builder and not of buildah 1.39, each with what to do about it. */
import { MAX_INSTRUCTIONS, TooLong, flag, stagesOf, type Dockerfile, type Instruction, type Stages } from '@paddock/contract';

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
  const { syntax, instructions } = dockerfile;
  if (syntax !== null && !/^(?:docker\.io\/)?docker\/dockerfile(?:[:@]|$)/.test(syntax)) {
    problems.push(`"# syntax=${syntax}" asks for a BuildKit frontend of its own; only the Dockerfile language itself can be built here`);
  }
  if (!instructions.some(({ name }) => name === 'FROM')) problems.push('it has no FROM');
  for (const instruction of instructions) for (const problem of problemsIn(instruction)) problems.push(`line ${instruction.line}: ${problem}`);
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
 * `--link` says how a copy may be stored, not what is copied: buildah refuses it, and without it the image is the same.
 * @returns the text to build
 */
export function withoutLink(source: string, { instructions }: Dockerfile): string {
  const lines = source.split('\n');
  for (const { name, line } of instructions) {
    if (name === 'COPY' || name === 'ADD') lines[line - 1] = lines[line - 1]!.replace(/^(\s*\w+(?:\s+--\S+)*?)\s+--link(?:=(?:true|false))?(?=\s)/, '$1');
  }
  return lines.join('\n');
}
