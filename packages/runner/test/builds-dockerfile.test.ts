import { describe, expect, it } from 'vitest';
import { TooLong, parseDockerfile, stagesOf } from '@paddock/contract';
import { notesOf, problemsOf, asBuildahReads } from '../src/builds/unsupported.ts';

const PLATFORM = 'linux/amd64';
const basesOf = (text: string): string[] => stagesOf(parseDockerfile(text), PLATFORM).bases.map(({ reference }) => reference);
const problems = (text: string): string => problemsOf(parseDockerfile(text), PLATFORM).join('\n');

describe('the base images of a Dockerfile', () => {
  it('are those of FROM, COPY --from and RUN --mount', () => {
    expect(basesOf('FROM a:1\nCOPY --from=b:2 /x /y\nRUN --mount=type=bind,from=c,target=/t ls\nADD --from=d x y')).toEqual(['a:1', 'b:2', 'c', 'd']);
  });

  it('leave out stages, numbers of stages and scratch', () => {
    expect(basesOf('FROM a AS One\nFROM scratch AS two\nFROM one\nCOPY --from=TWO /x /y\nCOPY --from=0 /x /y')).toEqual(['a']);
  });

  it('leave out what the last stage does not need', () => {
    expect(basesOf('FROM huge AS unused\nRUN true\nFROM small AS base\nFROM base\nRUN true')).toEqual(['small']);
  });

  it('have their variables replaced', () => {
    expect(basesOf('ARG V=3.12\nARG T=${V}-slim\nFROM python:${T}')).toEqual(['python:3.12-slim']);
    expect(basesOf('ARG A\nARG Q="x y"\nFROM ${A:-debian}:${V:-12}${A:+no}')).toEqual(['debian:12']);
    expect(basesOf('FROM --platform=$BUILDPLATFORM image-$TARGETARCH')).toEqual(['image-amd64']);
  });

  it('are found past comments, continued lines and directives', () => {
    expect(basesOf('# escape=`\n\n# hello\nFROM `\n  # inside\n\n  a:1 AS x\nRUN a && `\n  b\nCOPY --from=b /x /y')).toEqual(['a:1', 'b']);
  });

  it('are not looked for in the bodies of heredocs', () => {
    expect(basesOf('FROM a\nRUN <<EOF cat <<-"END"\nFROM b\nEOF\nFROM c\n\tEND\nCOPY <<x /y\nCOPY --from=d /x /y\nx\nRUN cat <<<word\nCOPY --from=e / /')).toEqual(['a', 'e']);
  });
});

describe('a hostile Dockerfile', () => {
  const MEBI = 2 ** 20;
  const doubling = Array.from({ length: 60 }, (_, index) => `ARG A${index + 1}=$A${index}$A${index}`).join('\n');

  it.each([
    ['one long word', `ARG ${'A'.repeat(MEBI)}\nFROM a`],
    ['flags without end', `FROM a\nRUN ${'--a '.repeat(MEBI / 4)}x`],
    ['links without end', `FROM a\nCOPY ${'--lin '.repeat(MEBI / 6)}x`],
    ['blanks without end', `# a=${' '.repeat(MEBI / 2)}x${' '.repeat(MEBI / 2)}x\nFROM a`],
    ['open quotes', `ARG ${'A="'.repeat(MEBI / 3)}\nFROM a`],
    ['open heredocs', `FROM a\nRUN ${'<<"A'.repeat(MEBI / 4)}`],
    ['open braces', `FROM ${'${A-'.repeat(MEBI / 4)}`],
    ['continued lines', `FROM a\nRUN ${'\\\n#\n'.repeat(MEBI / 4)}`],
  ])('is read in time that grows with its length: %s', (_, text) => {
    const since = performance.now();
    const dockerfile = parseDockerfile(text);
    problemsOf(dockerfile, PLATFORM);
    try {
      stagesOf(dockerfile, PLATFORM);
    } catch (error) {
      expect(error).toBeInstanceOf(TooLong);
    }
    asBuildahReads(text, dockerfile);
    // Seconds are no measure of speed: reading it word by word from each letter would take hours.
    expect(performance.now() - since).toBeLessThan(20_000);
  });

  it('cannot make its variables grow without bound', () => {
    expect(problems(`ARG A0=0123456789\n${doubling}\nFROM $A60`)).toBe('its variables make a text that is too long');
    expect(problems(`ARG A=${'x'.repeat(4_000)}\nFROM ${'$A'.repeat(10_000)}`)).toBe('its variables make a text that is too long');
  });

  it('has bounds in instructions and base images', () => {
    expect(problems(`FROM a\n${'RUN true\n'.repeat(2_001)}`)).toContain('more than 2000 instructions');
    expect(problems(`FROM a\n\nENV A=${'x'.repeat(65_530)}`)).toBe('line 3 is longer than 65535 bytes');
    expect(problems(`FROM a\nRUN ${'x'.repeat(65_000)} \\\n${'x'.repeat(65_000)}`)).toBe('');
    expect(problems(`FROM a\n${Array.from({ length: 101 }, (_, index) => `COPY --from=b:${index} x y`).join('\n')}`)).toContain('more than 100 other images');
  });
});

describe('what buildah lacks', () => {
  it.each([
    ['FROM a\nCOPY --parents x y', 'line 2: COPY --parents'],
    ['FROM a\nADD --keep-git-dir=true https://x/y.git /y', 'ADD --keep-git-dir'],
    ['FROM a\nADD --unpack=true x /y', 'ADD --unpack'],
    ['FROM a\nRUN --security=insecure true', 'RUN --security'],
    ['FROM a\n\nRUN --device=nvidia true', 'line 3: RUN --device'],
    ['FROM a\nRUN --mount=type=secret,id=x,required true', 'no secrets are passed'],
    ['FROM a\nRUN --mount=type=ssh,required=true true', 'no SSH agent'],
    ['# syntax=example.org/frontend:1\nFROM a', 'BuildKit frontend'],
    ['FROM --platform=linux/s390x a', 'this machine builds linux/amd64 alone'],
    ['FROM a\nENV X=${Y#b}', 'ENV with a pattern'],
    ['FROM a\nFOO bar', 'no instruction FOO'],
    ['FROM a\nFROM b\nCOPY --from=1 x y', 'line 3: there is no stage 1 before this one'],
    ['FROM a\nRUN --mount=type=bind,from=7,target=/x true', 'line 2: there is no stage 7 before this one'],
    ['RUN true', 'no FROM'],
    ['', 'no FROM'],
  ])('is named: %j', (text, expected) => expect(problems(text)).toContain(expected));

  it.each([
    '# syntax=docker/dockerfile:1.7\nFROM a\nRUN <<EOF\nFOO --bar\nEOF',
    'FROM --platform=$TARGETPLATFORM a\nRUN --mount=type=cache,target=/c --network=none true\nRUN echo ${X#y}\nENV Z=${X:-y}',
    'FROM a\nRUN --mount=type=secret,id=x true\nCOPY --chown=1:1 --chmod=700 --exclude=*.md . /x',
    '\uFEFFFROM a\r\nFROM b\r\nCOPY --from=0 x y\r\n',
    'from a\nMAINTAINER me\nONBUILD RUN true\nHEALTHCHECK CMD true\nSTOPSIGNAL 9\nSHELL ["sh","-c"]',
  ])('is nothing in %j', (text) => expect(problems(text)).toBe(''));

  it('is noted where the build goes on without it', () => {
    expect(notesOf(parseDockerfile('FROM a\nRUN --mount=type=ssh --mount=type=secret,id=x true'))).toEqual([
      expect.stringContaining('line 2: RUN --mount=type=ssh is empty'), expect.stringContaining('RUN --mount=type=secret is empty'),
    ]);
  });

  it('is left out where it changes nothing, in instructions alone', () => {
    const text = 'FROM a\nCOPY --chown=1 --link --from=b x y\nADD --link=true x y\nRUN <<E\nCOPY --link x y\nE\nCOPY x --link';
    expect(asBuildahReads(text, parseDockerfile(text))).toBe('FROM a\nCOPY --chown=1 --from=b x y\nADD x y\nRUN <<E\nCOPY --link x y\nE\nCOPY x --link');
  });

  it('is written otherwise where buildah has it: bases in quotes, names of stages in capitals', () => {
    const text = 'FROM --platform=linux/amd64 "a:1" AS Build\r\nFROM \'b\'\nFROM BUILD as Two\nCOPY --chown=1 --from=Build x y\nRUN --mount=type=bind,from=TWO,target=/x true\nCOPY --from=Other:1 x y\nRUN echo FROM "Build"';
    expect(asBuildahReads(text, parseDockerfile(text))).toBe(
      'FROM --platform=linux/amd64 a:1 AS build\r\nFROM b\nFROM build as two\nCOPY --chown=1 --from=build x y\nRUN --mount=type=bind,from=two,target=/x true\nCOPY --from=Other:1 x y\nRUN echo FROM "Build"',
    );
  });
});
