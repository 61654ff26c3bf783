/** What buildah remembers of a base from one build to the next is found by its name alone. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeBaseStore, type BaseImage } from '../src/builds/base-store.ts';

const base = (env: string, layers: readonly string[]): BaseImage => ({
  reference: 'one:1', written: 'one:1', layers, config: { env: [env], entrypoint: null, cmd: null, workDir: null, user: null, labels: {} },
});

function nameOf(image: BaseImage): string {
  const dir = mkdtempSync(join(tmpdir(), 'paddock-bases-'));
  try {
    return writeBaseStore(dir, [image], 'amd64')[0]!.name;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

it('a base has the same name in every build, and shares it with no base of other layers or another configuration', () => {
  const names = [base('A=1', ['x']), base('A=2', ['x']), base('A=1', ['y']), base('A=1', ['x', 'y'])].map(nameOf);
  expect(new Set(names).size).toBe(4);
  expect(nameOf(base('A=1', ['x']))).toBe(names[0]);
});
