import { describe, expect, it } from 'vitest';
import { BuildOutput } from '../src/builds/build-output.ts';

const names = new Map([['localhost/base:0', 'python:3.12']]);

function read(text: string, size = text.length): { log: string; output: BuildOutput } {
  const output = new BuildOutput(names);
  let log = '';
  for (let at = 0; at < text.length; at += size) log += output.read(text.slice(at, at + size));
  return { log: log + output.end(), output };
}

describe('the output of a build', () => {
  const text = [
    'STEP 1/3: FROM localhost/base:0', 'STEP 2/3: RUN make', 'working', '', 'Error: of make itself', 'more', '--> 0123456789ab',
    'STEP 3/3: RUN false', 'one', 'two', 'Error: building at STEP "RUN false": while running runtime: exit status 7', '',
  ].join('\n');

  it.each([1, 7, 1000])('is shown with the names of the Dockerfile, without ids, in pieces of %i', (size) => {
    expect(read(text, size).log).toBe('STEP 1/3: FROM python:3.12\nSTEP 2/3: RUN make\nworking\n\nError: of make itself\nmore\nSTEP 3/3: RUN false\none\ntwo\n');
  });

  it('says which step failed, how, and what it printed last', () => {
    expect(read(text).output.reason(7)).toBe('Step 3/3 `RUN false` failed with exit code 7: one\ntwo');
  });

  it('tells the builder\'s own errors from those of a program', () => {
    expect(read('STEP 1/2: FROM a\nSTEP 2/2: COPY x /y\nError: building at STEP "COPY x /y": no such file\n').output.reason(125)).toBe('Step 2/2 `COPY x /y` failed: no such file');
    expect(read('Error: the build context is no tar archive\n').output.reason(1)).toBe('The build failed: the build context is no tar archive');
    expect(read('STEP 1/1: FROM a\nError: x\nlast words').output.reason(137)).toBe('Step 1/1 `FROM a` failed: Error: x\nlast words');
  });

  it('gives a reason in plain text, whatever was meant for a terminal', () => {
    const said = '\x1b[1;31mERROR\x1b[0m: no\x00thing \x1b]0;title\x07here\n10%\r50%\r100%\r\x1b(Bdone\ttwice\r';
    expect(read(`STEP 1/1: RUN x\n${said}\nError: building at STEP "RUN x": while running runtime: exit status 1\n`).output.reason(1)).toBe(
      'Step 1/1 `RUN x` failed with exit code 1: ERROR: nothing here\ndone\ttwice',
    );
  });

  it('keeps no more than the end of it for the reason', () => {
    const { output } = read(`STEP 1/1: RUN ${'x'.repeat(500)}\n${'line\n'.repeat(10_000)}${'y'.repeat(100_000)}\nError: building at STEP "RUN": exit status 1\n`);
    expect(output.reason(1).length).toBeLessThan(2_000);
  });

  it('tells how far it is', () => {
    const output = new BuildOutput(names);
    expect(output.progress).toBe(null);
    output.read('[2/2] STEP 3/4: RUN make\n');
    expect(output.progress).toEqual({ fraction: 0.75, text: 'Step 3/4 of stage 2/2: RUN make' });
  });
});
